#include "train/data/generator.h"

#include <algorithm>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/errors.h"
#include "train/data/fixture.h"

namespace dms::train::data {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;
using namespace train::fixture;

/// A model and a source of two long documents.
class Generators : public ::testing::Test {
 protected:
  Generators() : model_(load_model_text(demo_model())), tokenizer_(model_.tokenizer) {
    TokenWriter writer(folder_.path(), model_.vocab);
    for (const char* opening : {"It was a dark night.", "The morning came \xC3\xA9gal. \"Oh!\" "}) {
      std::string text(opening);
      for (int i = 0; i < 300; ++i) text += " Sentence " + std::to_string(i) + " went by.\n";
      Document document = encode_text(tokenizer_, text);
      document.ids.push_back(*model_.end_token());
      writer.append(document);
    }
    source_ = std::make_unique<TokenStore>(folder_.path(), writer.finish());
  }

  std::unique_ptr<Generator> make(const std::string& settings, int64_t max_length = 512) {
    settings_.push_back(std::make_unique<Json>(Json::parse(settings)));
    return make_generator({.settings = *settings_.back(),
                           .where = "data.datasets.x.generator",
                           .model = model_,
                           .source = source_.get(),
                           .end_token = model_.end_token(),
                           .max_length = max_length,
                           .seed = 9});
  }
  std::string error(const std::string& settings, int64_t max_length = 512) {
    return input_error([&] { make(settings, max_length)->make(0); });
  }
  std::string text_of(const Document& document) const {
    return tokenizer_.decode(document.ids, false);
  }
  std::string counted_text(const Document& document) const {
    std::vector<int32_t> ids;
    for (size_t i = 0; i < document.ids.size(); ++i) {
      if (document.loss[i] != 0) ids.push_back(document.ids[i]);
    }
    return tokenizer_.decode(ids, false);
  }

  TempFolder folder_;
  ModelText model_;
  const text::Tokenizer& tokenizer_;
  std::unique_ptr<TokenStore> source_;
  std::vector<std::unique_ptr<Json>> settings_;
};

/// Every key with its value, wherever one of the phrasings states it.
std::vector<std::pair<std::string, std::string>> facts_in(const std::string& text) {
  static const std::regex kFact(
      "([a-z]+-[a-z]+) (?:is: |is |has the secret (?:number|uuid) )([0-9a-f-]+)\\.");
  std::vector<std::pair<std::string, std::string>> facts;
  for (std::sregex_iterator it(text.begin(), text.end(), kFact), end; it != end; ++it) {
    facts.emplace_back((*it)[1], (*it)[2]);
  }
  return facts;
}

TEST_F(Generators, RecallAsksForAFactThatTheTextHolds) {
  const auto generator = make(R"({"kind": "recall", "documents": 200, "needles": [1, 4],
                                  "min_tokens": 150, "uuid_share": 0.2, "loss": "answer"})");
  ASSERT_EQ(generator->documents(), 200);
  std::set<std::string> endings;
  for (int64_t i = 0; i < generator->documents(); ++i) {
    const Document document = generator->make(i);
    ASSERT_LE(std::ssize(document.ids), 512);
    ASSERT_EQ(document.ids.size(), document.loss.size());
    EXPECT_EQ(document.ids.front(), 0) << "begins as every text does";
    EXPECT_EQ(document.ids.back(), *model_.end_token());
    const std::string text = text_of(document);
    const std::string answer = counted_text(document);  // " VALUE."
    const size_t question = text.rfind('\n', text.rfind('?'));
    ASSERT_TRUE(answer.starts_with(' ') && answer.ends_with('.')) << answer;
    EXPECT_TRUE(text.ends_with(answer + "<|end_of_text|>")) << text;
    const auto facts = facts_in(text.substr(0, question));
    ASSERT_GE(facts.size(), 1u) << text;
    ASSERT_LE(facts.size(), 4u);
    int64_t asked = 0;
    for (const auto& [key, value] : facts) {
      const bool is_asked = text.find(key, question) != std::string::npos;
      asked += is_asked ? 1 : 0;
      EXPECT_EQ(is_asked, " " + value + "." == answer) << text;
    }
    EXPECT_EQ(asked, 1) << text;
    endings.insert(text.substr(question, text.find_first_of("-", question) - question));
  }
  EXPECT_GE(endings.size(), 5u) << "the phrasing varies";
}

TEST_F(Generators, RecallLengthsReachFromMinToMax) {
  const auto generator =
      make(R"({"kind": "recall", "documents": 300, "min_tokens": 100, "max_tokens": 400})");
  int64_t shorter = 0;
  for (int64_t i = 0; i < 300; ++i) {
    const Document document = generator->make(i);
    const int64_t tokens = std::ssize(document.ids);
    EXPECT_TRUE(document.loss.empty()) << "every token counts";
    EXPECT_LE(tokens, 400);
    EXPECT_GE(tokens, 90) << text_of(document);  // whole characters are taken: a little below 100
    shorter += tokens < 200 ? 1 : 0;
  }
  // Log-uniform: 100 to 200 is half of the way. Six standard deviations of 300 fair draws: 52; the
  // questions make the shortest ones a little longer.
  EXPECT_NEAR(static_cast<double>(shorter), 150, 60);
}

TEST_F(Generators, RecallHidesFactsAtAllDepths) {
  const auto generator = make(R"({"kind": "recall", "documents": 200, "needles": 1,
                                  "min_tokens": 500, "noise_share": 0.5})");
  int64_t early = 0;
  for (int64_t i = 0; i < 200; ++i) {
    const std::string text = text_of(generator->make(i));
    const std::string key = facts_in(text).front().first;
    early += text.find(key) < text.size() / 2 ? 1 : 0;
  }
  EXPECT_NEAR(static_cast<double>(early), 100, 45);
}

TEST_F(Generators, RecallAnswersEveryQuery) {
  const auto generator = make(R"({"kind": "recall", "documents": 30, "needles": 5, "queries": 3,
                                  "digits": [2, 4], "loss": "answer"})");
  static const std::regex kAnswers("(?: [1-9][0-9]{1,3}\\.\n?){3}");
  for (int64_t i = 0; i < 30; ++i) {
    const Document document = generator->make(i);
    EXPECT_TRUE(std::regex_match(counted_text(document), kAnswers)) << counted_text(document);
    const auto facts = facts_in(text_of(document));
    std::set<std::string> keys;
    for (const auto& [key, value] : facts) keys.insert(key);
    EXPECT_EQ(keys.size(), 5u);
  }
}

TEST_F(Generators, CopyRepeatsItsPassage) {
  for (const char* random_tokens : {"true", "false"}) {
    const auto generator = make(std::string(R"({"kind": "copy", "documents": 50, "repeats": 2,
        "passage_tokens": 20, "gap_tokens": 7, "loss": "repeat", "random_tokens": )") +
                                random_tokens + "}");
    for (int64_t i = 0; i < 50; ++i) {
      const Document document = generator->make(i);
      ASSERT_EQ(document.ids.size(), 1u + 20 + 2 * (7 + 20) + 1);
      const auto passage = [&](std::ptrdiff_t begin) {
        return std::vector(document.ids.begin() + begin, document.ids.begin() + begin + 20);
      };
      EXPECT_EQ(passage(1), passage(28));
      EXPECT_EQ(passage(1), passage(55));
      for (size_t t = 0; t < document.ids.size(); ++t) {
        const bool is_copy = (t > 28 && t < 48) || (t > 55 && t < 75);
        EXPECT_EQ(document.loss[t], is_copy ? 1 : 0) << t;
        EXPECT_EQ(tokenizer_.is_special(document.ids[t]), t == 0 || t == 75) << t;
      }
    }
  }
}

TEST_F(Generators, CopyKeepsWithinItsTokens) {
  const auto generator = make(R"({"kind": "copy", "documents": 100, "passage_tokens": [4, 200],
                                  "gap_tokens": [0, 20], "repeats": [1, 5], "max_tokens": 130})");
  size_t longest = 0;
  for (int64_t i = 0; i < 100; ++i) longest = std::max(longest, generator->make(i).ids.size());
  EXPECT_LE(longest, 130u);
  EXPECT_GT(longest, 110u);
}

TEST_F(Generators, DocumentsDependOnSeedAndIndexAlone) {
  for (const char* kind : {"recall", "copy"}) {
    const std::string head = std::string("{\"kind\": \"") + kind + "\", \"documents\": 5";
    const auto a = make(head + "}");
    const auto b = make(head + "}");
    const auto other = make(head + ", \"seed\": 1}");
    const std::vector<int32_t> fourth = a->make(4).ids;
    EXPECT_NE(a->make(3).ids, fourth);
    EXPECT_EQ(b->make(4).ids, fourth);
    EXPECT_NE(other->make(4).ids, fourth);
  }
}

TEST_F(Generators, ShortSourcesAreJoined) {
  const TempFolder folder;
  TokenWriter writer(folder.path(), model_.vocab);
  for (int i = 0; i < 20; ++i) {
    writer.append(encode_text(tokenizer_, "Line " + std::to_string(i) + "."));
  }
  source_ = std::make_unique<TokenStore>(folder.path(), writer.finish());
  const auto generator = make(R"({"kind": "recall", "documents": 5, "min_tokens": 300,
                                  "noise_share": 0})");
  for (int64_t i = 0; i < 5; ++i) EXPECT_GT(generator->make(i).ids.size(), 280u);
}

TEST_F(Generators, SourceWithoutTextIsRefused) {
  const TempFolder folder;
  TokenWriter writer(folder.path(), model_.vocab);
  writer.append({.ids = {0, 1, 0, 1}, .loss = {}});
  source_ = std::make_unique<TokenStore>(folder.path(), writer.finish());
  expect_parts(error(R"({"kind": "copy", "documents": 1})"), {"source", "no text"});
}

TEST_F(Generators, BadSettingsAreNamed) {
  expect_parts(error(R"({"documents": 1})"), {"data.datasets.x.generator: kind", "missing"});
  expect_parts(error(R"({"kind": "sort", "documents": 1})"), {".kind", "sort", "recall or copy"});
  expect_parts(error(R"({"kind": "recall"})"), {"documents", "missing"});
  expect_parts(error(R"({"kind": "recall", "documents": 0})"), {"documents", "got 0"});
  expect_parts(error(R"({"kind": "recall", "documents": 1, "needle": 3})"),
               {".needle", "unknown setting", "needles"});
  expect_parts(error(R"({"kind": "recall", "documents": 1, "needles": [3, 1]})"),
               {".needles", "[3,1]", "smallest, largest"});
  expect_parts(error(R"({"kind": "recall", "documents": 1, "needles": [1, 2, 3]})"), {".needles"});
  expect_parts(error(R"({"kind": "recall", "documents": 1, "digits": 30})"), {"digits", "1 to 18"});
  expect_parts(error(R"({"kind": "recall", "documents": 1, "loss": "repeat"})"),
               {".loss", "all or answer"});
  expect_parts(error(R"({"kind": "recall", "documents": 1, "max_tokens": 1000})"),
               {"max_tokens", "1 to 512"});
  expect_parts(error(R"({"kind": "recall", "documents": 1, "min_tokens": 300, "max_tokens": 200})"),
               {"min_tokens", "1 to 200"});
  expect_parts(error(R"({"kind": "recall", "documents": 1, "needles": 20, "max_tokens": 60})"),
               {"max_tokens", "too small", "at least"});
  expect_parts(error(R"({"kind": "copy", "documents": 1, "max_tokens": 50})"),
               {"max_tokens", "too small"});
  source_.reset();
  expect_parts(error(R"({"kind": "recall", "documents": 1})"), {".source", "missing"});
  expect_parts(error(R"({"kind": "copy", "documents": 1})"), {".source", "missing"});
  EXPECT_NO_THROW(make(R"({"kind": "recall", "documents": 1, "noise_share": 1})")->make(0));
  EXPECT_NO_THROW(make(R"({"kind": "copy", "documents": 1, "random_tokens": true})")->make(0));
}

}  // namespace
}  // namespace dms::train::data
