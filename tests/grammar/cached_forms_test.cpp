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
      xgrammar::GrammarCompiler(tokens, 1, false).CompileRegex("a"), nullptr);
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
      {.compile_ms = 1, .at_once = 1, .left = 0});
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

/// Compiles "slow…" until it is told to end.
class SlowForms : public testing::Test {
 protected:
  static constexpr int64_t kLong = 600'000;

  CachedForms make(CachedForms::Limits limits) {
    return CachedForms(
        [state = state_](const Structure& structure) {
          ++state->begun;
          if (structure.text.starts_with("slow")) state->may_end.wait();
          return small_form();
        },
        limits);
  }
  void wait_until_begun(int count) const {
    while (state_->begun < count) std::this_thread::yield();
  }

  struct State {
    std::atomic<int> begun = 0;
    std::latch may_end{1};
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

TEST_F(SlowForms, OneThatNobodyWantsAnyMoreIsNeverBegun) {
  CachedForms forms = make({.compile_ms = kLong, .at_once = 1, .left = 0});
  std::thread first([&] { forms.get(form("slow")); });
  wait_until_begun(1);
  std::stop_source giving_up;
  std::string refused;
  std::thread second(
      [&] { refused = run_error([&] { forms.get(form("b"), giving_up.get_token()); }); });
  giving_up.request_stop();
  second.join();
  expect_parts(refused, {"given up"});
  expect_parts(run_error([&] { forms.get(form("c"), giving_up.get_token()); }), {"given up"});
  state_->may_end.count_down();
  first.join();
  EXPECT_EQ(state_->begun, 1);
  EXPECT_TRUE(forms.find(form("slow")));
  EXPECT_FALSE(forms.find(form("b")));
}

TEST_F(SlowForms, OneThatIsGivenUpMakesPlaceForOthers) {
  CachedForms forms = make({.compile_ms = kLong, .at_once = 1, .left = 1});
  std::stop_source giving_up;
  std::string refused;
  std::thread first(
      [&] { refused = run_error([&] { forms.get(form("slow"), giving_up.get_token()); }); });
  wait_until_begun(1);
  giving_up.request_stop();
  first.join();
  expect_parts(refused, {"given up"});
  EXPECT_TRUE(forms.get(form("a")));
  // Who asks for it after all has it as soon as it is ready.
  std::thread again([&] { EXPECT_TRUE(forms.get(form("slow"))); });
  state_->may_end.count_down();
  again.join();
  EXPECT_EQ(state_->begun, 2);
}

TEST_F(SlowForms, NoMoreAreLeftToThemselvesThanMayBe) {
  CachedForms forms = make({.compile_ms = 1, .at_once = 1, .left = 1});
  for (const char* text : {"slow 1", "slow 2"}) {
    expect_parts(input_error([&] { forms.get(form(text)); }), {"takes too long"});
  }
  expect_parts(run_error([&] { forms.get(form("a")); }), {"others' forms"});
  wait_until_begun(2);
  state_->may_end.count_down();
}

}  // namespace
}  // namespace dms::grammar
