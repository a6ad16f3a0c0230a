#include "grammar/cached_forms.h"

#include <atomic>
#include <latch>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "grammar/compiled_structure.h"
#include "support/errors.h"

namespace dms::grammar {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;
using testing_support::run_error;

std::shared_ptr<const CompiledStructure> small_form() {
  const xgrammar::TokenizerInfo tokens(
      {"a", "b"}, xgrammar::VocabType::RAW, 2, std::vector<int32_t>());
  return std::make_shared<const CompiledStructure>(
      xgrammar::GrammarCompiler(tokens, 1, false).CompileRegex("a"));
}

Structure form(const std::string& text) { return {.kind = Structure::Kind::regex, .text = text}; }

TEST(CachedForms, CompilesWhatWasNotAskedForOfLate) {
  std::atomic<int> compiled = 0;
  CachedForms forms(
      [&](const Structure&) {
        ++compiled;
        return small_form();
      },
      {.forms = 2});
  for (const char* text : {"a", "b", "a", "b"}) forms.get(form(text));
  EXPECT_EQ(compiled, 2);
  forms.get(form("c"));  // "a" goes
  forms.get(form("b"));
  EXPECT_EQ(compiled, 3);
  EXPECT_EQ(forms.get(form("a")), forms.get(form("a")));
  EXPECT_EQ(compiled, 4);
}

TEST(CachedForms, KeepsNoMoreThanItMay) {
  std::atomic<int> compiled = 0;
  CachedForms forms(
      [&](const Structure&) {
        ++compiled;
        return small_form();
      },
      {.bytes = 1});
  forms.get(form("a"));
  forms.get(form("a"));
  EXPECT_EQ(compiled, 2);
}

TEST(CachedForms, OneThatIsTooLargeDropsNoOthers) {
  std::atomic<int> compiled = 0;
  CachedForms forms(
      [&](const Structure&) {
        ++compiled;
        return small_form();
      },
      {.bytes = 100'000});
  for (const std::string& text : {std::string("a"), std::string(50'000, 'a'), std::string("a")}) {
    forms.get(form(text));
  }
  EXPECT_EQ(compiled, 2);
}

TEST(CachedForms, TwoWhoAskForTheSameHaveItCompiledOnce) {
  std::atomic<int> compiled = 0;
  std::latch may_end(1);
  CachedForms forms(
      [&](const Structure&) {
        ++compiled;
        may_end.wait();
        return small_form();
      },
      {.compile_ms = 600'000});
  std::vector<std::shared_ptr<const CompiledStructure>> found(2);
  std::vector<std::thread> threads;
  for (auto& each : found) threads.emplace_back([&] { each = forms.get(form("a")); });
  while (compiled == 0) std::this_thread::yield();
  may_end.count_down();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(compiled, 1);
  EXPECT_EQ(found[0], found[1]);
}

TEST(CachedForms, WhatIsRefusedIsRefusedEachTime) {
  CachedForms forms(
      [](const Structure&) -> std::shared_ptr<const CompiledStructure> {
        throw InputError({.field = "regex", .what = "bad"});
      },
      {});
  for (int i = 0; i < 2; ++i) expect_parts(input_error([&] { forms.get(form("(")); }), {"bad"});
}

TEST(CachedForms, WhatTakesTooLongIsGivenUp) {
  const auto may_end = std::make_shared<std::latch>(1);
  CachedForms forms(
      [may_end](const Structure& structure) {
        if (structure.text == "slow") may_end->wait();
        return small_form();
      },
      {.compile_ms = 1, .at_once = 1});
  // Whoever asks for the same takes no place of others.
  for (int i = 0; i < 2; ++i) {
    expect_parts(input_error([&] { forms.get(form("slow")); }), {"regex", "takes too long"});
  }
  expect_parts(run_error([&] { forms.get(form("after it")); }), {"others' forms"});
  may_end->count_down();
  // Whoever comes once it has ended is served.
  std::shared_ptr<const CompiledStructure> found;
  while (!found) {
    try {
      found = forms.get(form("slow"));
    } catch (const InputError&) {
    }
  }
}

}  // namespace
}  // namespace dms::grammar
