#include "grammar/cached_forms.h"

#include <atomic>
#include <latch>
#include <string>

#include <gtest/gtest.h>

#include "grammar/compiled_structure.h"
#include "support/errors.h"

namespace dms::grammar {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;

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
  for (const char* text : {"slow", "after it"}) {
    expect_parts(input_error([&] { forms.get(form(text)); }), {"regex", "takes too long"});
  }
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
