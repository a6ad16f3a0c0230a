// Turns over a cache whose policy takes a prompt as a whole: what is taken back of one is all of
// it.

#include <algorithm>
#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "cli/demo_chat.h"
#include "cli/local_conversation.h"
#include "support/temp_folder.h"

namespace dms::cli {
namespace {

using testing_support::TempFolder;

const SamplingParams kSampling{.max_new_tokens = 24, .ignore_eos = true};

// Thoughts begin where an answer is asked for, and are cut out of what was said.
constexpr const char* kThinking =
    "{% for m in messages %}[{{ m.role }}] {{ m.content.split('</think>')[-1] }}\n{% endfor %}"
    "[assistant]<think>\n";

std::string long_question() {
  std::string question = "It was a dark night, and who came to the door?";
  for (int i = 0; i < 40; ++i) question += " And who came " + std::to_string(i) + " days later?";
  return question;
}

/// An answer, and what is held after it.
struct Said {
  std::vector<int32_t> ids;
  std::vector<std::vector<int64_t>> held;

  friend bool operator==(const Said&, const Said&) = default;
};

class Talk {
 public:
  Talk(const char* chat_template, const CacheOptions& cache)
      : prompt_(prompt_of(chat_template)), talk_(demo_model(), prompt_, cache, "") {}

  LocalConversation* operator->() { return &talk_; }

  Said say(const std::string& question) { return said(talk_.say(question, kSampling, {}, {})); }
  Said retry() { return said(talk_.retry(kSampling, {}, {})); }

  std::vector<int32_t> ids_with(const std::string& question) const {
    std::vector<ChatMessage> messages = talk_.messages();
    messages.push_back({.role = "user", .content = question});
    return demo_model().encode(prompt_.render(messages), prompt_.adds_special_tokens());
  }

 private:
  Said said(const Generation& answer) const {
    return {.ids = answer.ids, .held = talk_.session().kv().held_per_head};
  }

  ChatPrompt prompt_;
  LocalConversation talk_;
};

Said fresh(const std::vector<int32_t>& ids, const CacheOptions& cache) {
  Session session = demo_model().new_session(cache);
  const Generation answer = session.generate(ids, kSampling);
  return {.ids = answer.ids, .held = session.kv().held_per_head};
}

struct Case {
  std::string name;
  CacheOptions cache;
};

void PrintTo(const Case& item, std::ostream* out) { *out << item.name; }

std::vector<Case> all_cases() {
  return {
      {"Snapkv", {.policy = "snapkv", .policy_args = {{"compression_ratio", "0.8"}}}},
      {"KnormBudget", {.policy = "knorm", .policy_args = {{"budget", "48"}}}},
      {"Kvzip", {.policy = "kvzip", .policy_args = {{"compression_ratio", "0.8"}}}},
      {"ExpectedAttention",
       {.policy = "expected_attention", .policy_args = {{"compression_ratio", "0.8"}}}},
      {"Chunked",
       {.policy = "chunked",
        .policy_args = {{"base", "knorm"}, {"chunk_length", "64"}, {"compression_ratio", "0.5"}}}},
      {"Rkv", {.policy = "rkv", .policy_args = {{"budget", "64"}}}},
      {"Adms",
       {.policy = "adms",
        .policy_args = {{"recent_size", "32"}, {"compressed_budget", "32"}, {"rank", "4"}}}},
      {"Tova", {.policy = "tova", .policy_args = {{"budget", "64"}}}},
  };
}

class RankedConversation : public ::testing::TestWithParam<Case> {};

TEST_P(RankedConversation, AnswersTheLastQuestionAgainAsBefore) {
  Talk talk(kGrowing, GetParam().cache);
  const Said first = talk.say(long_question());
  EXPECT_EQ(talk.retry(), first);
  const Said second = talk.say("What did she say to the captain then?");
  EXPECT_EQ(talk.retry(), second);
}

TEST_P(RankedConversation, WhatIsUndoneLeavesNothing) {
  Talk talk(kGrowing, GetParam().cache);
  talk.say(long_question());
  talk.say("What did she say to the captain then?");
  talk->undo();
  const Said after = talk.say("What did he say?");
  Talk other(kGrowing, GetParam().cache);
  other.say(long_question());
  EXPECT_EQ(after, other.say("What did he say?"));
}

TEST_P(RankedConversation, ThoughtsThatAreCutOutLeaveAFreshPrompt) {
  Talk talk(kThinking, GetParam().cache);
  talk.say(long_question());
  for (const std::string question : {"Why?", "And then?"}) {
    const Said expected = fresh(talk.ids_with(question), GetParam().cache);
    EXPECT_EQ(talk.say(question), expected) << question;
  }
}

TEST_P(RankedConversation, AStoppedQuestionIsRankedAsAWhole) {
  Talk talk(kGrowing, GetParam().cache);
  const auto stop = [](int64_t done, int64_t) {
    if (done > 0) throw std::runtime_error("stopped");
  };
  EXPECT_THROW(talk->say(long_question(), kSampling, {}, stop), std::runtime_error);
  const Said expected = fresh(talk.ids_with(long_question()), GetParam().cache);
  EXPECT_EQ(talk.say(long_question()), expected);
}

TEST_P(RankedConversation, KnowsItsPromptsWhenItIsLoaded) {
  const TempFolder folder;
  Talk talk(kGrowing, GetParam().cache);
  talk.say(long_question());
  const Said second = talk.say("What did she say to the captain then?");
  talk->save(folder.path() / "talk");
  Talk loaded(kGrowing, {.policy = "none"});
  loaded->load(folder.path() / "talk");
  EXPECT_EQ(loaded.retry(), second);
}

INSTANTIATE_TEST_SUITE_P(Policies,
                         RankedConversation,
                         ::testing::ValuesIn(all_cases()),
                         [](const auto& item) { return item.param.name; });

TEST(DocumentConversation, AnswersAgainFromTheDocument) {
  const ChatPrompt prompt = prompt_of(kGrowing);
  const ChatMessage text{.role = "system", .content = long_question()};
  const auto ids_of = [&](const std::string& question) {
    return demo_model().encode(prompt.render({text, {.role = "user", .content = question}}),
                               prompt.adds_special_tokens());
  };
  std::vector<int32_t> ids = ids_of("Who?");
  const std::vector<int32_t> others = ids_of("Then?");
  ids.erase(std::ranges::mismatch(ids, others).in1, ids.end());
  const CacheOptions cache{.policy = "snapkv", .policy_args = {{"compression_ratio", "0.8"}}};
  LocalConversation talk(
      demo_model(),
      prompt,
      ChatDocument{.document = demo_model().make_document(ids, cache), .messages = {text}});
  const Generation answer = talk.say("Who came?", kSampling, {}, {});
  const auto held = talk.session().kv().held_per_head;
  const Generation again = talk.retry(kSampling, {}, {});
  EXPECT_EQ(again.ids, answer.ids);
  EXPECT_EQ(talk.session().kv().held_per_head, held);
  EXPECT_EQ(again.timings.prefill_tokens, answer.timings.prefill_tokens);
  EXPECT_EQ(talk.timings().prefill_tokens, 2 * answer.timings.prefill_tokens);
}

}  // namespace
}  // namespace dms::cli
