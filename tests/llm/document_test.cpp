// Documents of the demo model: who goes on from one computes what is new and nothing else, and what
// comes of it is what comes of the same tokens without one.

#include "llm/document.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "dms/llm.h"
#include "support/errors.h"
#include "support/seed.h"
#include "support/temp_folder.h"

namespace dms {
namespace {

using Ids = std::vector<int32_t>;

const std::filesystem::path kDemo = std::filesystem::path(DMS_SOURCE_DIR) / "models" / "demo";
constexpr int64_t kDocument = 300;
constexpr int64_t kQuestion = 20;
constexpr int64_t kAnswer = 12;
constexpr int64_t kMemory = int64_t{256} << 20;

ModelOptions options(bool prefix_cache = false) {
  return {.dtype = "f32", .kv_memory_bytes = kMemory, .prefix_cache = prefix_cache};
}

struct Kind {
  const char* name;
  CacheOptions cache;
  bool ranks = false;  // what it holds depends on where prompts end
};

void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all{
      {"none", {.policy = "none"}},
      {"dms", {.policy = "dms"}},
      {"streaming_int8",
       {.policy = "streaming",
        .policy_args = {{"start_size", "4"}, {"recent_size", "64"}},
        .kv_dtype = "int8"}},
      {"snapkv", {.policy = "snapkv", .policy_args = {{"compression_ratio", "0.5"}}}, true},
      {"kvzip", {.policy = "kvzip", .policy_args = {{"compression_ratio", "0.7"}}}, true}};
  return all;
}

class Documents : public testing::TestWithParam<Kind> {
 protected:
  Ids random_ids(int64_t count) {
    Ids ids(static_cast<size_t>(count));
    for (int32_t& id : ids) id = std::uniform_int_distribution<int32_t>(10, 8000)(random_);
    return ids;
  }

  Request request(Ids prompt, int64_t tokens = kAnswer) const {
    return {.prompt = std::move(prompt),
            .sampling = {.max_new_tokens = tokens, .ignore_eos = true},
            .cache = GetParam().cache};
  }

  Request going_on(const Document& document, const Ids& rest, int64_t tokens = kAnswer) const {
    Ids prompt(document.ids().begin(), document.ids().end());
    prompt.insert(prompt.end(), rest.begin(), rest.end());
    Request asked = request(std::move(prompt), tokens);
    asked.document = document;
    return asked;
  }

  std::mt19937_64 random_{testing_support::seed()};
};

void submit(LLM& llm, Request request, Generation& result) {
  request.sink = [&result](const Event& event) {
    if (const auto* end = std::get_if<FinishedEvent>(&event)) result = end->result;
  };
  llm.submit(std::move(request));
}

void run(LLM& llm) {
  while (llm.step()) {
  }
}

Generation answer(LLM& llm, Request request) {
  Generation result;
  submit(llm, std::move(request), result);
  run(llm);
  EXPECT_TRUE(result.error.empty()) << result.error;
  return result;
}

/// What a session says that has read the document, then the question.
Generation session_answer(LLM& llm, const CacheOptions& cache, const Ids& first, const Ids& rest) {
  Session session = llm.new_session(cache);
  session.append(first);
  return session.generate(rest, {.max_new_tokens = kAnswer, .ignore_eos = true});
}

std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST_P(Documents, GoOnAsOneSessionOrAsTheWholePrompt) {
  LLM llm(kDemo, options());
  const Ids text = random_ids(kDocument);
  const Document document = llm.make_document(text, GetParam().cache);
  ASSERT_EQ(document.tokens(), kDocument);
  for (int turn = 0; turn < 2; ++turn) {
    const Ids question = random_ids(kQuestion);
    const Request asked = going_on(document, question);
    const Generation got = answer(llm, asked);
    EXPECT_EQ(got.prompt_tokens, kDocument + kQuestion);
    EXPECT_EQ(got.cached_tokens, kDocument);
    const Generation session = session_answer(llm, GetParam().cache, text, question);
    EXPECT_EQ(got.ids, session.ids);
    EXPECT_EQ(got.kv.held_tokens, session.kv.held_tokens);
    if (GetParam().ranks) continue;
    EXPECT_EQ(got.ids, answer(llm, request(asked.prompt)).ids);
  }
}

TEST_P(Documents, AreHeldOnceAndNeverChange) {
  const testing_support::TempFolder folder;
  LLM llm(kDemo, options());
  const Document document = llm.make_document(random_ids(2000), GetParam().cache);
  document.save(folder.path() / "before");
  const int64_t alone = llm.stats().kv_used_bytes;
  constexpr int kTalks = 6;
  std::vector<Generation> results(kTalks);
  for (Generation& result : results) submit(llm, going_on(document, random_ids(4), 8), result);
  while (llm.stats().running < kTalks && llm.step()) {
  }
  EXPECT_EQ(llm.stats().running, kTalks);
  // Each has its own window of 64 or 256 tokens, and no survivors.
  const int64_t one_each = (llm.stats().kv_used_bytes - alone) / kTalks;
  EXPECT_LT(one_each, document.kv().dense_bytes / 4);
  run(llm);
  document.save(folder.path() / "after");
  EXPECT_TRUE(bytes_of(folder.path() / "before") == bytes_of(folder.path() / "after"));
}

TEST_P(Documents, ComeBackFromTheirFiles) {
  const testing_support::TempFolder folder;
  const std::filesystem::path file = folder.path() / "text";
  const Ids question = random_ids(kQuestion);
  LLM llm(kDemo, options());
  const Document made = llm.make_document(random_ids(kDocument), GetParam().cache);
  const int64_t bytes = made.save(file, "a note");
  EXPECT_EQ(bytes, static_cast<int64_t>(std::filesystem::file_size(file)));
  const Generation expected = answer(llm, going_on(made, question));

  LLM other(kDemo, options());
  const DocumentFile saved = other.open_document(file);
  EXPECT_EQ(saved.note(), "a note");
  EXPECT_EQ(saved.cache(), made.cache());
  EXPECT_EQ(saved.held_tokens(), made.kv().held_tokens);
  EXPECT_LE(saved.held_bytes(), made.held_bytes()) << "queries of the prompt are not written";
  other.check_document(saved);
  const Document loaded = other.load_document(saved);
  EXPECT_EQ(saved.held_bytes(), loaded.held_bytes());
  EXPECT_THROW(other.load_document(saved), InputError) << "its pages are the first one's";
  EXPECT_EQ(other.stats().kv_used_bytes, 0) << "as of its last step";
  std::filesystem::remove(file);  // what it holds stays
  const Generation got = answer(other, going_on(loaded, question));
  EXPECT_EQ(got.ids, expected.ids);
  EXPECT_EQ(got.cached_tokens, kDocument);
  EXPECT_GE(other.stats().kv_used_bytes, loaded.held_bytes());
  loaded.save(folder.path() / "again", "a note");
  made.save(file, "a note");
  EXPECT_TRUE(bytes_of(file) == bytes_of(folder.path() / "again"));
}

INSTANTIATE_TEST_SUITE_P(Llm, Documents, testing::ValuesIn(kinds()), [](const auto& test) {
  return test.param.name;
});

class ShortOfMemory : public Documents {};

INSTANTIATE_TEST_SUITE_P(Llm,
                         ShortOfMemory,
                         testing::Values(kinds()[0], kinds()[1], kinds()[3]),
                         [](const auto& test) { return test.param.name; });

TEST_P(ShortOfMemory, DocumentsGiveTheSameAnswers) {
  ModelOptions small = options();
  small.swap_bytes = GetParam().ranks ? 0 : kMemory;
  const Ids text = random_ids(kDocument);
  std::vector<Request> asked;
  std::vector<Generation> expected;
  {
    LLM roomy(kDemo, options());
    const Document document = roomy.make_document(text, GetParam().cache);
    for (int i = 0; i < 8; ++i) {
      asked.push_back(going_on(document, random_ids(kQuestion + i), 60));
      expected.push_back(answer(roomy, asked.back()));
      asked.back().document.reset();
    }
    // Whoever was put off has all of its prompt for itself when it comes back.
    answer(roomy, asked.back());
    small.kv_memory_bytes = document.held_bytes() + roomy.stats().kv_peak_bytes;
  }
  LLM llm(kDemo, small);
  const Document document = llm.make_document(text, GetParam().cache);
  std::vector<Generation> got(asked.size());
  for (size_t i = 0; i < asked.size(); ++i) {
    asked[i].document = document;
    submit(llm, asked[i], got[i]);
  }
  run(llm);
  EXPECT_GT(llm.stats().preemptions, 0);
  for (size_t i = 0; i < asked.size(); ++i) {
    EXPECT_TRUE(got[i].error.empty()) << got[i].error;
    EXPECT_EQ(got[i].ids, expected[i].ids) << i;
  }
}

class OneDocument : public Documents {};

INSTANTIATE_TEST_SUITE_P(Llm, OneDocument, testing::Values(kinds()[1]), [](const auto& test) {
  return test.param.name;
});

TEST_P(OneDocument, AnAnswersCacheIsKeptForTheNextTurn) {
  LLM llm(kDemo, options());
  Request first = request(random_ids(kDocument));
  first.keeps_document = true;
  const Generation answered = answer(llm, first);
  ASSERT_TRUE(answered.document);
  EXPECT_EQ(answered.document->tokens(), kDocument + kAnswer - 1);

  Ids next = first.prompt;
  next.insert(next.end(), answered.ids.begin(), answered.ids.end());
  const Ids question = random_ids(kQuestion);
  next.insert(next.end(), question.begin(), question.end());
  Request second = request(next);
  second.document = answered.document;
  const Generation whole = answer(llm, second);
  EXPECT_EQ(whole.cached_tokens, kDocument + kAnswer - 1);
  EXPECT_EQ(whole.ids, answer(llm, request(next)).ids);

  // One that goes on a few tokens earlier takes them back; one that is another text starts anew.
  Request changed = request(Ids(next.begin(), next.begin() + kDocument + 5));
  changed.prompt.back() = next[kDocument + 4] == 10 ? 11 : 10;
  changed.document = answered.document;
  const Generation taken_back = answer(llm, changed);
  EXPECT_EQ(taken_back.cached_tokens, kDocument + 4);
  EXPECT_EQ(taken_back.ids, answer(llm, request(changed.prompt)).ids);
  Request other = request(random_ids(kDocument));
  other.document = answered.document;
  EXPECT_EQ(answer(llm, other).cached_tokens, 0);
}

TEST_P(OneDocument, TheLongestBeginningCountsWithAPrefixCache) {
  LLM llm(kDemo, options(true));
  const Document document = llm.make_document(random_ids(kDocument), GetParam().cache);
  const Ids question = random_ids(kQuestion);
  const Generation first = answer(llm, going_on(document, question));
  EXPECT_EQ(first.cached_tokens, kDocument);
  Ids rest = question;
  rest.insert(rest.end(), first.ids.begin(), first.ids.end());
  rest.push_back(50);
  const Generation second = answer(llm, going_on(document, rest));
  EXPECT_EQ(second.cached_tokens, kDocument + kQuestion + kAnswer - 1);
  LLM plain(kDemo, options());
  EXPECT_EQ(second.ids, answer(plain, request(going_on(document, rest).prompt)).ids);
}

TEST_P(OneDocument, ItsMemoryComesBackWhoeverLetsGo) {
  LLM llm(kDemo, options());
  auto document = std::make_unique<Document>(llm.make_document(random_ids(kDocument)));
  run(llm);
  const int64_t held = llm.stats().kv_used_bytes;
  std::thread([&] { document.reset(); }).join();
  run(llm);
  EXPECT_LT(llm.stats().kv_used_bytes, held / 2);
}

TEST_P(OneDocument, MayOutliveItsModel) {
  std::optional<Document> document;
  {
    LLM llm(kDemo, options());
    document = llm.make_document(random_ids(kDocument));
  }
  EXPECT_EQ(document->tokens(), kDocument);
}

TEST_P(OneDocument, IsRefusedUnderAnotherPolicyAndWithASession) {
  LLM llm(kDemo, options());
  const Document document = llm.make_document(random_ids(kDocument), {.policy = "none"});
  const Request asked = going_on(document, random_ids(kQuestion));
  EXPECT_NE(testing_support::input_error([&] { llm.submit(asked); }).find("document: "),
            std::string::npos);
  Session session = llm.new_session();
  EXPECT_THROW(session.submit(asked), InputError);
}

TEST_P(OneDocument, ADamagedFileIsRefused) {
  const testing_support::TempFolder folder;
  const std::filesystem::path file = folder.path() / "text";
  LLM llm(kDemo, options());
  const Document document = llm.make_document(random_ids(40), GetParam().cache);
  document.save(file, "a note");
  const std::string good = bytes_of(file);
  const auto refusal = [&](const std::string& bytes) {
    std::filesystem::remove(file);  // never in place: it may be mapped
    std::ofstream(file, std::ios::binary) << bytes;
    return testing_support::input_error([&] {
      const DocumentFile opened = llm.open_document(file);
      llm.check_document(opened);
    });
  };
  for (int trial = 0; trial < 100; ++trial) {
    std::string bad = good;
    const size_t at = std::uniform_int_distribution<size_t>(0, good.size() - 1)(random_);
    bad[at] = static_cast<char>(bad[at] ^ (1 << (trial % 8)));
    EXPECT_NE(refusal(bad).find(file.string()), std::string::npos) << at;
  }
  for (const size_t size :
       {size_t{0}, size_t{7}, size_t{16}, size_t{40}, good.size() / 2, good.size() - 1}) {
    EXPECT_NE(refusal(good.substr(0, size)).find(file.string()), std::string::npos) << size;
  }
  EXPECT_NE(refusal(good + "x").find("another size"), std::string::npos);

  // Documents of sizes that add up to less than nothing.
  llm::SessionHead head{.options = document.cache(),
                        .held_bytes = std::numeric_limits<int64_t>::max(),
                        .ids = {document.ids().begin(), document.ids().end()}};
  const auto& state = *document.state();
  EXPECT_NE(
      refusal(std::string(llm::session_bytes(state.fingerprint, head, *state.sequence).data()))
          .find("the number of bytes held"),
      std::string::npos);

  LLM bf16(kDemo, {.dtype = "bf16"});
  document.save(folder.path() / "good");
  EXPECT_NE(testing_support::input_error([&] {
              bf16.open_document(folder.path() / "good");
            }).find("another model"),
            std::string::npos);
}

TEST_P(OneDocument, CachedPrefixesMakeRoomForWhatIsLoaded) {
  const testing_support::TempFolder folder;
  LLM roomy(kDemo, options());
  const Document large = roomy.make_document(random_ids(2000), {.policy = "none"});
  large.save(folder.path() / "document");
  Session session = roomy.new_session({.policy = "none"});
  session.append(large.ids());
  session.save(folder.path() / "session");
  for (const bool is_session : {false, true}) {
    ModelOptions small = options(true);
    small.kv_memory_bytes = large.held_bytes() * 3 / 2;
    LLM llm(kDemo, small);
    while (llm.stats().kv_used_bytes < large.held_bytes()) {
      Request asked = request(random_ids(300), 1);
      asked.cache = {.policy = "none"};
      answer(llm, asked);
    }
    EXPECT_GT(llm.stats().cached_prefixes, 0);
    if (is_session) {
      EXPECT_EQ(llm.load_session(folder.path() / "session").tokens(), 2000);
    } else {
      EXPECT_EQ(llm.load_document(llm.open_document(folder.path() / "document")).tokens(), 2000);
    }
  }
}

TEST_P(OneDocument, WhatDoesNotFitIsRefusedAndLeavesNothing) {
  const testing_support::TempFolder folder;
  const std::filesystem::path file = folder.path() / "text";
  LLM roomy(kDemo, options());
  const Document large = roomy.make_document(random_ids(2000), {.policy = "none"});
  large.save(file);
  ModelOptions small = options();
  small.kv_memory_bytes = large.held_bytes() / 2;
  LLM llm(kDemo, small);
  const DocumentFile saved = llm.open_document(file);
  EXPECT_THROW(llm.load_document(saved), RunError);
  EXPECT_THROW(llm.make_document(random_ids(2000), {.policy = "none"}), RunError);
  run(llm);
  EXPECT_LT(llm.stats().kv_used_bytes, small.kv_memory_bytes / 10);
}

}  // namespace
}  // namespace dms
