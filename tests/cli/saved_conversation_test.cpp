// What a conversation is worth that was answered again, or written and read.

#include "cli/saved_conversation.h"

#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "base/json.h"
#include "cli/local_conversation.h"
#include "support/errors.h"
#include "support/temp_folder.h"

namespace dms::cli {
namespace {

namespace fs = std::filesystem;
using testing_support::expect_parts;
using testing_support::input_error;
using testing_support::run_error;
using testing_support::TempFolder;

const fs::path kDemo = fs::path(DMS_SOURCE_DIR) / "models" / "demo";
const SamplingParams kSampling{
    .max_new_tokens = 40, .temperature = 1.0f, .seed = 7, .ignore_eos = true};
// The window is shorter than an answer.
const CacheOptions kCache{.policy = "dms", .window_tokens = 8};
constexpr const char* kNight = "It was a dark night, and who came to the door?";

LLM& model() {
  static LLM llm(kDemo, {.dtype = "f32"});
  return llm;
}

const ChatPrompt& prompt() {
  static const ChatPrompt plain = ChatPrompt::make(kDemo, {.chat_template = "plain"});
  return plain;
}

LocalConversation new_talk(LLM& llm = model()) { return {llm, prompt(), kCache, ""}; }

Generation say(LocalConversation& talk, const std::string& text) {
  return talk.say(text, kSampling, {}, {});
}

Generation retry(LocalConversation& talk) { return talk.retry(kSampling, {}, {}); }

/// The answer to one question, by a session that never spoke before.
std::vector<int32_t> fresh_answer(const std::string& question, uint64_t seed) {
  SamplingParams sampling = kSampling;
  sampling.seed = seed;
  const std::vector<int32_t> ids =
      model().encode(prompt().render("", question), prompt().adds_special_tokens());
  return model().new_session(kCache).generate(ids, sampling).ids;
}

std::string bytes_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(Retry, SamplesWithSeedsThatWereNotUsedYet) {
  LocalConversation talk = new_talk();
  EXPECT_FALSE(talk.has_answer());
  EXPECT_EQ(say(talk, kNight).ids, fresh_answer(kNight, 7));
  for (const uint64_t seed : {uint64_t{8}, uint64_t{9}}) {
    const Generation other = retry(talk);
    EXPECT_EQ(other.ids, fresh_answer(kNight, seed));
    EXPECT_EQ(other.timings.prefill_tokens, 1) << "the question is in the cache";
    ASSERT_EQ(talk.messages().size(), 2u);
    EXPECT_TRUE(talk.has_answer());
  }
  talk.undo();
  EXPECT_FALSE(talk.has_answer());
  EXPECT_EQ(say(talk, "Why?").ids, fresh_answer("Why?", 7));
}

TEST(Retry, KeepsTheEarlierAnswerWhereItIsStopped) {
  LocalConversation talk = new_talk();
  say(talk, kNight);
  const std::string earlier = talk.messages().back().content;
  const auto stop = [](int64_t, int64_t) { throw std::runtime_error("stopped"); };
  EXPECT_THROW(talk.retry(kSampling, {}, stop), std::runtime_error);
  ASSERT_EQ(talk.messages().size(), 2u);
  EXPECT_EQ(talk.messages().back().content, earlier);
  EXPECT_EQ(retry(talk).ids, fresh_answer(kNight, 8));
}

TEST(SavedConversation, GoesOnAsIfItHadNeverBeenInterrupted) {
  const TempFolder folder;
  const fs::path file = folder.path() / "talk";
  LocalConversation talk = new_talk();
  say(talk, kNight);
  retry(talk);
  talk.save(file);
  LocalConversation again = new_talk();
  say(again, "Something else.");
  again.load(file);
  EXPECT_EQ(again.session().decisions(), talk.session().decisions());
  const Generation expected = say(talk, "Why?");
  const Generation got = say(again, "Why?");
  EXPECT_EQ(got.ids, expected.ids);
  EXPECT_EQ(got.timings.prefill_tokens, expected.timings.prefill_tokens);
  ASSERT_EQ(again.messages().size(), 4u);
  EXPECT_EQ(again.messages().back().content, talk.messages().back().content);
  again.load(file);
  EXPECT_EQ(retry(again).ids, fresh_answer(kNight, 9)) << "the seed after the retry before it";
}

TEST(SavedConversation, ReplacesAnEarlierOneAndNothingElse) {
  const TempFolder folder;
  const fs::path file = folder.path() / "talk";
  LocalConversation talk = new_talk();
  say(talk, kNight);
  talk.save(file);
  say(talk, "Why?");
  talk.save(file / "");
  LocalConversation again = new_talk();
  again.load(file);
  EXPECT_EQ(again.messages().size(), 4u);
  folder.write("photos/cat.jpg", "cat");
  folder.write("notes.txt", "cat");
  for (const char* name : {"photos", "notes.txt"}) {
    expect_parts(input_error([&] { talk.save(folder.path() / name); }),
                 {name, "exists, and is no saved conversation"});
  }
  EXPECT_EQ(bytes_of(folder.path() / "photos" / "cat.jpg"), "cat");
  EXPECT_EQ(bytes_of(folder.path() / "notes.txt"), "cat");
  EXPECT_THROW(talk.save("/nowhere/talk"), InputError);
}

TEST(SavedConversation, OfMessagesAloneIsComputedAgain) {
  const TempFolder folder;
  const fs::path file = folder.path() / "talk.json";
  LocalConversation talk(model(), prompt(), kCache, "Be brief.");
  say(talk, kNight);
  talk.save(file);
  LocalConversation again = new_talk();
  say(again, "Something else.");
  again.load(file);
  EXPECT_EQ(again.session().tokens(), 0);
  ASSERT_EQ(again.messages().size(), 3u);
  EXPECT_EQ(again.messages().front().content, "Be brief.");
  EXPECT_EQ(say(again, "Why?").ids, say(talk, "Why?").ids);
}

TEST(SavedConversation, BesideTheSessionOfAnotherIsComputedAgain) {
  const TempFolder folder;
  LocalConversation talk = new_talk();
  say(talk, "What did she say to the captain then?");
  talk.save(folder.path() / "other");
  talk.reset();
  say(talk, kNight);
  talk.save(folder.path() / "talk");
  fs::copy_file(folder.path() / "other" / "session.dms",
                folder.path() / "talk" / "session.dms",
                fs::copy_options::overwrite_existing);
  LocalConversation again = new_talk();
  again.load(folder.path() / "talk");
  EXPECT_EQ(say(again, "Why?").ids, say(talk, "Why?").ids);
}

TEST(SavedConversation, DoesNotCostThePresentOneWhereItDoesNotFit) {
  const TempFolder folder;
  LLM small(kDemo, {.dtype = "f32", .kv_memory_bytes = int64_t{2} << 20});
  LocalConversation talk(small, prompt(), {.policy = "none"}, "");
  std::string text;
  for (int i = 0; i < 40; ++i) text += " And who came then?";
  say(talk, text);  // more than half of the limit
  talk.save(folder.path() / "talk");
  expect_parts(run_error([&] { talk.load(folder.path() / "talk"); }), {"/reset makes room"});
  EXPECT_EQ(talk.messages().size(), 2u);
  const std::vector<int32_t> next = say(talk, "Why?").ids;
  talk.reset();
  talk.load(folder.path() / "talk");
  EXPECT_EQ(say(talk, "Why?").ids, next);
}

/// A saved conversation that something happened to.
class DamagedConversation : public ::testing::Test {
 protected:
  DamagedConversation() {
    say(talk_, kNight);
    talk_.save(file_);
  }

  void expect_refused(const std::string& text, std::initializer_list<const char*> parts) {
    const fs::path json = folder_.write("talk/conversation.json", text);
    const std::string error = input_error([&] { talk_.load(file_); });
    expect_parts(error, {json.c_str()});
    for (const char* part : parts) expect_parts(error, {part});
    EXPECT_EQ(talk_.messages().size(), 2u);
  }

  TempFolder folder_;
  fs::path file_ = folder_.path() / "talk";
  LocalConversation talk_ = new_talk();
};

TEST_F(DamagedConversation, IsRefusedByField) {
  const Json whole = read_json_file(file_ / "conversation.json");
  const auto with = [&whole](const char* key, const Json& value) {
    Json other = whole;
    other.erase("beginning");  // as files were before documents: a system message is no turn
    other[key] = value;
    return other.dump();
  };
  const auto messages = [&with](const char* text) { return with("messages", Json::parse(text)); };
  expect_refused("", {});
  expect_refused("{", {"line 1"});
  expect_refused("[]", {});
  expect_refused(std::string(100'000, '['), {"deep"});
  expect_refused(with("format", "a letter"), {"is no saved conversation"});
  expect_refused(with("format", 1), {"format"});
  expect_refused(with("version", 2), {"version"});
  expect_refused(with("beginning", 1), {"message 1", "role", "user"});
  expect_refused(with("beginning", 3), {"beginning"});
  expect_refused(with("retries", -1), {"retries"});
  expect_refused(with("retries", 1e300), {"retries"});
  expect_refused(with("messages", nullptr), {"holds no messages"});
  expect_refused(messages(R"(["hello"])"), {"message 0"});
  expect_refused(messages(R"([{"role": "user"}])"), {"message 0", "content"});
  expect_refused(messages(R"([{"role": "user", "content": 1}])"), {"message 0", "content"});
  expect_refused(messages(R"([{"role": "user", "content": "x"}])"), {"has no answer"});
  expect_refused(messages(R"([{"role": "assistant", "content": "x"}])"), {"role", "user"});
  expect_refused(messages(R"([{"role": "system", "content": "x"},
                              {"role": "system", "content": "x"}])"),
                 {"message 1", "role"});
  expect_refused(
      messages(R"([{"role": "user", "content": "x"}, {"role": "user", "content": "x"}])"),
      {"message 1", "role", "assistant"});
}

TEST_F(DamagedConversation, IsRefusedWhereItsSessionIs) {
  const fs::path session = session_file_of(file_);
  const std::string whole = bytes_of(session);
  std::string flipped = whole;
  flipped[whole.size() / 2] ^= 1;
  for (const std::string& bytes : {std::string(), whole.substr(0, whole.size() / 2), flipped}) {
    folder_.write("talk/session.dms", bytes);
    expect_parts(input_error([&] { talk_.load(file_); }), {session.c_str()});
    EXPECT_EQ(talk_.messages().size(), 2u);
  }
  fs::remove(session);
  expect_parts(input_error([&] { talk_.load(file_); }), {session.c_str()});
  LLM bf16(kDemo);
  LocalConversation other = new_talk(bf16);
  folder_.write("talk/session.dms", whole);
  expect_parts(input_error([&] { other.load(file_); }), {"another model, or other types"});
}

}  // namespace
}  // namespace dms::cli
