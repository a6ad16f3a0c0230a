// Several turns over one cache are worth what each is worth over a fresh one.

#include "cli/local_conversation.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "base/json.h"
#include "cli/demo_chat.h"
#include "support/errors.h"
#include "support/temp_folder.h"

namespace dms::cli {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;
using testing_support::TempFolder;

const SamplingParams kSampling{.max_new_tokens = 40, .ignore_eos = true};

// Earlier answers are shortened; the very first words change.
constexpr const char* kShortening =
    "{% for m in messages %}[{{ m.role }}] "
    "{{ '(...)' if m.role == 'assistant' else m.content }}\n{% endfor %}[assistant]";
constexpr const char* kCounting =
    "{{ messages|length }} messages\n"
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant]";

/// A conversation, and what its cache should hold by the tokens of each turn.
class Talk {
 public:
  explicit Talk(const char* chat_template,
                const CacheOptions& cache = {.policy = "none"},
                const std::string& system = "")
      : prompt_(prompt_of(chat_template)),
        cache_(cache),
        talk_(demo_model(), prompt_, cache, system) {}

  LocalConversation& operator*() { return talk_; }
  LocalConversation* operator->() { return &talk_; }

  /// The tokens of the conversation with this question.
  std::vector<int32_t> ids_with(const std::string& question) const {
    std::vector<ChatMessage> messages = talk_.messages();
    messages.push_back({.role = "user", .content = question});
    return demo_model().encode(prompt_.render(messages), prompt_.adds_special_tokens());
  }

  /// Says it, and expects the answer, decisions and logits of a session that never spoke before,
  /// at the price of the tokens that are new. Returns how many were not.
  int64_t expect_as_fresh(const std::string& question) {
    const std::vector<int32_t> ids = ids_with(question);
    const Generation answer = talk_.say(question, kSampling, {}, {});
    const int64_t common = std::ranges::mismatch(cached_, ids).in1 - cached_.begin();
    const int64_t reused = std::min(common, std::ssize(ids) - 1);
    EXPECT_EQ(answer.timings.prefill_tokens, std::ssize(ids) - reused) << question;
    Session fresh = demo_model().new_session(cache_);
    EXPECT_EQ(answer.ids, fresh.generate(ids, kSampling).ids) << question;
    EXPECT_EQ(talk_.session().decisions(), fresh.decisions()) << question;
    Session copy = talk_.session().fork();
    expect_same_logits(copy, fresh, answer.ids.back());
    cached_ = ids;
    cached_.insert(cached_.end(), answer.ids.begin(), answer.ids.end() - 1);
    EXPECT_EQ(talk_.session().tokens(), std::ssize(cached_)) << question;
    return reused;
  }

  void forget_cached() { cached_.clear(); }

 private:
  static void expect_same_logits(Session& ours, Session& fresh, int32_t next) {
    const std::span<const float> row = ours.append(std::span(&next, 1));
    const std::vector<float> got(row.begin(), row.end());
    const std::span<const float> expected = fresh.append(std::span(&next, 1));
    float size = 0.0f;
    float error = 0.0f;
    for (size_t i = 0; i < got.size(); ++i) {
      size = std::max(size, std::abs(expected[i]));
      error = std::max(error, std::abs(got[i] - expected[i]));
    }
    EXPECT_LE(error, 1e-4f * size);
  }

  ChatPrompt prompt_;
  CacheOptions cache_;
  LocalConversation talk_;
  std::vector<int32_t> cached_;
};

struct Case {
  std::string name;
  const char* chat_template;
  CacheOptions cache;
};

void PrintTo(const Case& item, std::ostream* out) { *out << item.name; }

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const auto& [name, text] : {std::pair{"Growing", kGrowing},
                                   std::pair{"Shortening", kShortening},
                                   std::pair{"Counting", kCounting}}) {
    cases.push_back({std::string(name) + "Dense", text, {.policy = "none"}});
    // The window is far shorter than an answer: rolling one back recomputes with evicted tokens.
    cases.push_back({std::string(name) + "Dms", text, {.policy = "dms", .window_tokens = 8}});
  }
  return cases;
}

class ConversationOver : public ::testing::TestWithParam<Case> {};

TEST_P(ConversationOver, EachTurnIsThatOfAFreshSession) {
  Talk talk(GetParam().chat_template, GetParam().cache, "Speak like an old book.");
  talk.expect_as_fresh("It was a dark night, and who came to the door?");
  talk.expect_as_fresh("What did she say to the captain then?");
  talk.expect_as_fresh("And how did it end?");
  EXPECT_EQ(talk->messages().size(), 7u);
}

INSTANTIATE_TEST_SUITE_P(Templates,
                         ConversationOver,
                         ::testing::ValuesIn(all_cases()),
                         [](const auto& item) { return item.param.name; });

TEST(Conversation, ComputesOnlyWhatIsNew) {
  Talk talk(kGrowing);
  const std::string question = "It was a dark night, and who came to the door?";
  const auto first = std::ssize(talk.ids_with(question));
  EXPECT_EQ(talk.expect_as_fresh(question), 0);
  // A merge across the border between prompt and answer may cost the prompt's last token.
  EXPECT_GE(talk.expect_as_fresh("Why?"), first - 1);
}

TEST(Conversation, RollsBackToWhereATemplateRewritesAnAnswer) {
  Talk talk(kShortening);
  const std::string question = "It was a dark night, and who came to the door?";
  const auto first = std::ssize(talk.ids_with(question));
  talk.expect_as_fresh(question);
  const int64_t reused = talk.expect_as_fresh("Why?");
  EXPECT_GE(reused, first - 1);
  EXPECT_LE(reused, first + 1);
  Talk counting(kCounting);
  counting.expect_as_fresh(question);
  EXPECT_LE(counting.expect_as_fresh("Why?"), 2);
}

TEST(Conversation, UndoForgetsOneQuestionAndItsAnswer) {
  for (const CacheOptions& cache :
       {CacheOptions{.policy = "none"}, CacheOptions{.policy = "dms", .window_tokens = 8}}) {
    Talk talk(kGrowing, cache, "Be brief.");
    EXPECT_FALSE(talk->undo());
    talk.expect_as_fresh("It was a dark night, and who came to the door?");
    talk.expect_as_fresh("What did she say to the captain then?");
    EXPECT_TRUE(talk->undo());
    ASSERT_EQ(talk->messages().size(), 3u);
    EXPECT_EQ(talk->messages().back().role, "assistant");
    EXPECT_GT(talk.expect_as_fresh("And how did it end?"), 0);
    EXPECT_TRUE(talk->undo());
    EXPECT_TRUE(talk->undo());
    EXPECT_FALSE(talk->undo());
    ASSERT_EQ(talk->messages().size(), 1u);
    EXPECT_EQ(talk->messages().front().content, "Be brief.");
  }
}

TEST(Conversation, ResetLeavesTheSystemMessageAlone) {
  for (const std::string& system : {std::string(), std::string("Be brief.")}) {
    Talk talk(kGrowing, {.policy = "none"}, system);
    talk.expect_as_fresh("Who came to the door?");
    talk->reset();
    EXPECT_EQ(talk->messages().size(), system.empty() ? 0u : 1u);
    EXPECT_EQ(talk->session().tokens(), 0);
    talk.forget_cached();
    EXPECT_EQ(talk.expect_as_fresh("Who came to the door?"), 0);
  }
}

TEST(Conversation, ResetGivesItsMemoryBackBeforeItTakesNew) {
  Talk talk(kGrowing, {.policy = "none", .preallocate_tokens = 128});
  talk->say("Who came to the door?", kSampling, {}, {});
  const int64_t peak = talk->session().kv().peak_bytes;
  talk->reset();
  EXPECT_LE(talk->session().kv().peak_bytes, peak);
}

TEST(Conversation, AnInterruptedAnswerIsPartOfIt) {
  Talk talk(kGrowing);
  int pieces = 0;
  const Generation answer =
      talk->say("Who came to the door?", kSampling, [&](auto) { return ++pieces < 5; }, {});
  EXPECT_LT(std::ssize(answer.ids), kSampling.max_new_tokens);
  ASSERT_EQ(talk->messages().size(), 2u);
  EXPECT_FALSE(talk->messages().back().content.empty());
}

TEST(Conversation, StopsBeforeTheFirstTokenWhereProgressThrows) {
  Talk talk(kGrowing);
  talk.expect_as_fresh("It was a dark night, and who came to the door?");
  const auto stop = [](int64_t done, int64_t) {
    if (done == 0) throw std::runtime_error("stopped");
  };
  EXPECT_THROW(talk->say("Why?", kSampling, {}, stop), std::runtime_error);
  EXPECT_EQ(talk->messages().size(), 2u);
  const Generation answer = talk->say("And then?", kSampling, {}, {});
  talk->undo();
  Session fresh = demo_model().new_session({.policy = "none"});
  EXPECT_EQ(answer.ids, fresh.generate(talk.ids_with("And then?"), kSampling).ids);
}

// Rolling back an answer of 40 tokens recomputes all that came before it.
TEST(Conversation, StopsARecomputationWhereProgressThrows) {
  Talk talk(kGrowing, {.policy = "dms", .window_tokens = 8});
  std::string question = "It was a dark night, and who came to the door?";
  for (int i = 0; i < 60; ++i) question += " And who came then?";
  talk.expect_as_fresh(question);
  talk->undo();
  int calls = 0;
  const auto stop = [&](int64_t done, int64_t total) {
    ++calls;
    EXPECT_LT(done, total) << "stopped in the midst of it";
    throw std::runtime_error("stopped");
  };
  EXPECT_THROW(talk->say(question + " Why?", kSampling, {}, stop), std::runtime_error);
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(talk->messages().empty());
  const Generation answer = talk->say("And then?", kSampling, {}, {});
  talk->undo();
  Session fresh = demo_model().new_session({.policy = "dms", .window_tokens = 8});
  EXPECT_EQ(answer.ids, fresh.generate(talk.ids_with("And then?"), kSampling).ids);
}

// What is known of a question that was stopped need not be computed again.
TEST(Conversation, AsksAStoppedQuestionAgainFromWhereItWas) {
  Talk talk(kGrowing);
  std::string question = "It was a dark night, and who came to the door?";
  for (int i = 0; i < 60; ++i) question += " And who came then?";
  int64_t computed = 0;
  const auto stop = [&](int64_t done, int64_t) {
    computed = done;
    if (done > 0) throw std::runtime_error("stopped");
  };
  EXPECT_THROW(talk->say(question, kSampling, {}, stop), std::runtime_error);
  EXPECT_GT(computed, 0);
  EXPECT_TRUE(talk->messages().empty());
  const auto all = std::ssize(talk.ids_with(question));
  const Generation answer = talk->say(question, kSampling, {}, {});
  EXPECT_EQ(answer.timings.prefill_tokens, all - computed);
  Session fresh = demo_model().new_session({.policy = "none"});
  talk->undo();
  EXPECT_EQ(answer.ids, fresh.generate(talk.ids_with(question), kSampling).ids);
}

/// The demo, with one token of its answers made a special one, as marks of reasoning are.
class MarkedModel {
 public:
  MarkedModel(const std::string& question, const ChatPrompt& prompt) {
    const std::string rendered = prompt.render("", question);
    const std::vector<int32_t> ids = demo_model().encode(rendered, prompt.adds_special_tokens());
    for (const int32_t id : demo_model().new_session({}).generate(ids, kSampling).ids) {
      const std::string text = demo_model().decode(std::span(&id, 1), false);
      // Spelled in the vocabulary as it is in texts.
      const bool plain = std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
      if (plain && rendered.find(text) == std::string::npos) {
        write(id, text);
        return;
      }
    }
  }

  std::string mark;
  std::optional<LLM> llm;

 private:
  void write(int32_t id, const std::string& text) {
    for (const auto& entry : std::filesystem::directory_iterator(kDemo)) {
      if (entry.path().filename() == "tokenizer.json") continue;
      std::filesystem::create_symlink(entry.path(), folder_.path() / entry.path().filename());
    }
    Json tokenizer = read_json_file(kDemo / "tokenizer.json", int64_t{1} << 30);
    tokenizer["added_tokens"].push_back({{"id", id},
                                         {"content", text},
                                         {"single_word", false},
                                         {"lstrip", false},
                                         {"rstrip", false},
                                         {"normalized", false},
                                         {"special", true}});
    folder_.write("tokenizer.json", tokenizer.dump());
    mark = text;
    llm.emplace(folder_.path(), ModelOptions{.dtype = "f32"});
  }

  TempFolder folder_;
};

TEST(Conversation, KeepsMarksThatAreSpecialTokensForTheTemplate) {
  const std::string question = "It was a dark night and who came to the door?";
  const ChatPrompt prompt = prompt_of(kGrowing);
  MarkedModel marked(question, prompt);
  ASSERT_TRUE(marked.llm) << "no answer has a token that could be a mark";
  LocalConversation talk(*marked.llm, prompt, {.policy = "none"}, "");
  const Generation answer = talk.say(question, kSampling, {}, {});
  EXPECT_EQ(answer.text.find(marked.mark), std::string::npos) << answer.text;
  EXPECT_NE(talk.messages().back().content.find(marked.mark), std::string::npos);
  // A template that cuts at the mark finds it.
  const ChatPrompt cutting =
      prompt_of("{% for m in messages %}[{{ m.role }}] {{ m.content.split('" + marked.mark +
                "')[-1] }}\n{% endfor %}[assistant]");
  EXPECT_EQ(cutting.render(talk.messages()).find(marked.mark), std::string::npos);
}

TEST(Conversation, EndsAMarkedMessageAtAStopText) {
  const std::string question = "It was a dark night and who came to the door?";
  const ChatPrompt prompt = prompt_of(kGrowing);
  MarkedModel marked(question, prompt);
  ASSERT_TRUE(marked.llm);
  LocalConversation talk(*marked.llm, prompt, {.policy = "none"}, "");
  const std::string whole = talk.say(question, kSampling, {}, {}).text;
  const std::string stop = whole.substr(whole.size() / 2, 5);
  talk.reset();
  SamplingParams sampling = kSampling;
  sampling.stop = {stop};
  const Generation answer = talk.say(question, sampling, {}, {});
  EXPECT_EQ(answer.finish_reason, "stop");
  EXPECT_EQ(talk.messages().back().content.find(stop), std::string::npos);
}

TEST(Conversation, IsAsBeforeAfterAnError) {
  Talk talk(kGrowing);
  talk.expect_as_fresh("It was a dark night, and who came to the door?");
  const auto fail = [](std::string_view) -> bool { throw std::runtime_error("closed pipe"); };
  EXPECT_THROW(talk->say("Why?", kSampling, fail, {}), std::runtime_error);
  EXPECT_EQ(talk->messages().size(), 2u);
  std::string endless;
  for (int i = 0; i < 5000; ++i) endless += " door";
  const std::string most = std::to_string(talk->session().max_tokens());
  expect_parts(input_error([&] { talk->say(endless, kSampling, {}, {}); }),
               {"context", "got more than " + most + " tokens", "/undo"});
  EXPECT_EQ(talk->messages().size(), 2u);
  Generation answer = talk->say("And then?", kSampling, {}, {});
  talk->undo();
  Session fresh = demo_model().new_session({.policy = "none"});
  EXPECT_EQ(answer.ids, fresh.generate(talk.ids_with("And then?"), kSampling).ids);
}

// Of a file of hundreds of megabytes nothing is made but its first tokens.
TEST(Conversation, RefusesWhatIsTooLongBeforeItIsRendered) {
  Talk talk("{{ raise_exception('rendered') }}");
  std::string endless;
  for (int i = 0; i < 5000; ++i) endless += " door";
  expect_parts(input_error([&] { talk->say(endless, kSampling, {}, {}); }), {"context"});
  expect_parts(input_error([&] { talk->say("Why?", kSampling, {}, {}); }), {"rendered"});
  EXPECT_TRUE(talk->messages().empty());
}

TEST(Conversation, KeepsAnAnswerThatMeetsTheMemoryLimit) {
  LLM small(kDemo, {.dtype = "f32", .kv_memory_bytes = int64_t{2} << 20});
  const ChatPrompt prompt = prompt_of(kGrowing);
  LocalConversation talk(small, prompt, {.policy = "none"}, "");
  talk.say("It was a dark night, and who came to the door?", kSampling, {}, {});
  SamplingParams endless = kSampling;
  endless.max_new_tokens = 1000;
  const Generation cut = talk.say("And then?", endless, {}, {});
  EXPECT_EQ(cut.finish_reason, "error");
  ASSERT_EQ(talk.messages().size(), 4u);
  EXPECT_FALSE(talk.messages().back().content.empty());
  EXPECT_LT(std::ssize(cut.ids), endless.max_new_tokens);

  std::string too_much;
  for (int i = 0; i < 1500; ++i) too_much += " door";
  EXPECT_THROW(talk.say(too_much, kSampling, {}, {}), RunError);
  EXPECT_EQ(talk.messages().size(), 4u);
  EXPECT_TRUE(talk.undo());
  const Generation answer = talk.say("How did it end?", kSampling, {}, {});
  EXPECT_EQ(answer.error, "");
  talk.undo();
  std::vector<ChatMessage> messages = talk.messages();
  messages.push_back({.role = "user", .content = "How did it end?"});
  const std::vector<int32_t> ids = demo_model().encode(prompt.render(messages), false);
  EXPECT_EQ(answer.ids, demo_model().new_session({.policy = "none"}).generate(ids, kSampling).ids);
}

TEST(Conversation, NamesATemplateThatRendersNothing) {
  const TempFolder folder;
  const std::string path = folder.write("silent.jinja", "{% if false %}x{% endif %}").string();
  const ChatPrompt prompt = ChatPrompt::make(kDemo, {.chat_template = path});
  LocalConversation talk(demo_model(), prompt, {.policy = "none"}, "");
  expect_parts(input_error([&] { talk.say("Hello", kSampling, {}, {}); }),
               {"silent.jinja", "renders", "0 tokens"});
  EXPECT_TRUE(talk.messages().empty());
}

}  // namespace
}  // namespace dms::cli
