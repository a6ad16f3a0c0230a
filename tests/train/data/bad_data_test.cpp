// Every way in which data or its settings can be wrong ends in one line that says where.

#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "support/errors.h"
#include "train/data/fixture.h"

namespace dms::train {
namespace {

using namespace fixture;
using dms::testing_support::expect_parts;
using dms::testing_support::input_error;

class BadData : public ::testing::Test {
 protected:
  /// The error of preparing a dataset of these lines.
  std::string error_of(const std::string& lines,
                       const std::function<void(TrainConfig&, DatasetSection&)>& change = {}) {
    DatasetSection dataset = text_dataset("mine", folder_.write("mine.jsonl", lines));
    TrainConfig config = config_of(folder_, dataset);
    config.model.name = model_with_template(folder_, kPlainTemplate);
    if (change) change(config, config.data.datasets["mine"]);
    return input_error([&] { prepare_data(config, {}); });
  }

  TempFolder folder_;
  std::string good_ = numbered_texts(30);
};

TEST_F(BadData, LinesThatAreNoRecords) {
  expect_parts(error_of(good_ + "{\"text\": \"x\n"), {"mine.jsonl:31", "malformed JSON"});
  expect_parts(error_of("\n" + good_ + "[1]\n"), {"mine.jsonl:32", "a JSON object"});
  expect_parts(error_of("{\"text\": \"\xff\"}\n"), {"mine.jsonl:1", "UTF-8"});
  expect_parts(error_of(std::string(100'000, '[')), {"mine.jsonl:1"});
  const std::string text = error_of("{\"text\": \"" + std::string(1'000'000, 'x'));
  EXPECT_LT(text.size(), 1000u) << "the record is not quoted whole";
}

TEST_F(BadData, TheFirstBadLineIsNamedWhateverTheThreads) {
  std::string lines;
  for (int i = 0; i < 300; ++i)
    lines += i >= 100 && i % 7 == 0 ? "bad\n"
                                    : R"({"text": "x"})"
                                      "\n";
  for (const int64_t threads : {1, 4}) {
    expect_parts(error_of(lines, [&](auto& c, auto&) { c.trainer.threads = threads; }),
                 {"mine.jsonl:106:"});
  }
}

TEST_F(BadData, FieldsThatAreMissingOrOfAnotherType) {
  expect_parts(error_of(R"({"body": "x"})"), {"mine.jsonl:1: field text", "missing", "body"});
  expect_parts(error_of(R"({"text": 5})"), {"mine.jsonl:1: field text", "number", "a string"});
  expect_parts(error_of(good_, [](auto&, auto& d) { d.field = "meta.text"; }),
               {"mine.jsonl:1: field meta", "missing"});
  expect_parts(error_of(good_, [](auto&, auto& d) { d.field = "meta..text"; }),
               {"data.datasets.mine.text", "malformed field name"});
}

TEST_F(BadData, Conversations) {
  const auto messages = [](auto&, DatasetSection& d) {
    d.kind = DatasetKind::conversation;
    d.field = "messages";
  };
  expect_parts(error_of(R"({"messages": "hello"})", messages),
               {"mine.jsonl:1: field messages", "string", "a list of"});
  expect_parts(error_of(R"({"messages": [{"role": "user"}]})", messages),
               {"mine.jsonl:1: message 0: content", "missing"});
  expect_parts(error_of(R"({"messages": []})", messages), {"no documents", "\"empty\":1"});
  expect_parts(error_of(R"({"messages": [{"role": "user", "content": "x"}]})",
                        [&](TrainConfig& c, DatasetSection& d) {
                          messages(c, d);
                          c.data.loss_on = LossOn::assistant;
                        }),
               {"no documents", "\"no assistant turn\":1"});
  expect_parts(error_of(good_,
                        [&](TrainConfig& c, DatasetSection& d) {
                          messages(c, d);
                          d.prompt_field = "a";
                          d.response_field = "b";
                        }),
               {"data.datasets.mine", "either conversation, or prompt"});
  expect_parts(error_of(good_,
                        [&](TrainConfig& c, DatasetSection& d) {
                          messages(c, d);
                          c.model.name = demo_model();
                        }),
               {"model.name", "no chat template"});
  folder_.write("texts/a.txt", "x");
  expect_parts(error_of(good_,
                        [&](TrainConfig& c, DatasetSection& d) {
                          messages(c, d);
                          d.paths = {folder_.path() / "texts"};
                        }),
               {"a.txt", "no conversations", ".jsonl"});
}

TEST_F(BadData, FiltersThatDropAllOrCannotBeUsed) {
  const auto filter = [](const char* text) {
    return [text](auto&, DatasetSection& d) { d.filter = text; };
  };
  expect_parts(error_of(good_, filter("n > 100")),
               {"data.datasets.mine", "no documents are left", "\"filter\":30"});
  expect_parts(error_of(good_, filter("n >")), {"data.datasets.mine.filter: column 4"});
  expect_parts(error_of(good_, filter("m > 3")),
               {"mine.jsonl:1: filter: column 1: field 'm' is missing"});
}

TEST_F(BadData, NothingToReadOrTooLittle) {
  expect_parts(error_of(""), {"data.datasets.mine", "no documents"});
  expect_parts(error_of("\n \n"), {"data.datasets.mine", "no documents"});
  expect_parts(error_of(R"({"text": "short"})"),
               {"data.datasets.mine", "too little text", "data.max_length, 16"});
  expect_parts(error_of(good_, [](auto&, auto& d) { d.paths = {"/nowhere/x.jsonl"}; }),
               {"data.datasets.mine.path", "/nowhere/x.jsonl"});
}

TEST_F(BadData, SettingsOutOfRange) {
  const auto error = [&](auto&& change) {
    return error_of(good_, [&](TrainConfig& c, DatasetSection&) { change(c); });
  };
  expect_parts(error([](auto& c) { c.data.max_length = 1; }), {"data.max_length", "got 1"});
  expect_parts(error([](auto& c) { c.data.max_length = int64_t{1} << 40; }), {"data.max_length"});
  expect_parts(error([](auto& c) { c.data.train_samples = -1; }), {"data.train_samples"});
  expect_parts(error([](auto& c) { c.data.train_samples = int64_t{1} << 40; }),
               {"data.train_samples", "67108864"});
  expect_parts(error([](auto& c) { c.data.blend.clear(); }), {"data.blend"});
  expect_parts(error([](auto& c) { c.data.blend[0].weight = 0.0; }), {"data.blend", "mine"});
  expect_parts(error([](auto& c) { c.data.blend[0].dataset = "yours"; }),
               {"data.blend", "no such dataset", "got yours", "expected mine"});
  expect_parts(error([](auto& c) {
                 c.data.train_samples = 1;
                 c.data.blend = {{"mine", 0.5}, {"mine", 0.5}};
               }),
               {"data.train_samples", "got 1"});
  expect_parts(error([](auto& c) { c.trainer.output_dir.clear(); }), {"data.cache_dir"});
  expect_parts(error([&](auto& c) { c.model.name = folder_.path() / "gone"; }), {"gone"});
  expect_parts(error_of(good_, [](auto&, auto& d) { d.split = "test"; }),
               {"data.datasets.mine.split", "got test"});
  expect_parts(error_of(good_, [](auto&, auto& d) { d.split = "train"; }), {"valid_fraction"});
}

TEST_F(BadData, SourcesOfGeneratedDatasets) {
  const auto error = [&](const char* settings) {
    return error_of(good_, [&](TrainConfig& c, DatasetSection&) {
      c.data.max_length = 200;
      c.data.datasets["made"] = generated("made", settings);
      c.data.datasets["other"] =
          generated("other", R"({"kind": "copy", "random_tokens": true, "documents": 5})");
      c.data.blend = {{"made", 1.0}};
    });
  };
  expect_parts(error(R"({"kind": "copy", "documents": 5, "source": "gone"})"),
               {"data.datasets.made.generator.source", "no such dataset", "mine"});
  expect_parts(error(R"({"kind": "copy", "documents": 5, "source": "made"})"),
               {"data.datasets.made.generator.source", "generated itself"});
  expect_parts(error(R"({"kind": "copy", "documents": 5, "source": "other"})"),
               {"generated itself", "other"});
  expect_parts(error(R"({"kind": "copy", "documents": 5, "source": 3})"), {"source", "a string"});
}

TEST_F(BadData, GeneratedDatasetsAreNotFiltered) {
  expect_parts(error_of(good_,
                        [](TrainConfig& c, DatasetSection& d) {
                          c.data.max_length = 200;
                          d = generated(
                              "mine", R"({"kind": "copy", "random_tokens": true, "documents": 9})");
                          d.filter = "n > 3";
                        }),
               {"data.datasets.mine.generator", "filter and split"});
}

TEST_F(BadData, ModelWithoutAnEndToken) {
  const Json config = read_json_file(demo_model() / "config.json");
  const auto without_end = [&](TrainConfig& c, DatasetSection&) {
    Json changed = config;
    changed.erase("eos_token_id");
    folder_.write("model/config.json", changed.dump());
    folder_.write("model/tokenizer_config.json", "{}");
    c.data.max_length = 16;
  };
  expect_parts(error_of(good_, without_end), {"data.add_eos", "no end token", "add_eos: false"});
}

TEST_F(BadData, TokenizerOfAnotherModel) {
  Json config = read_json_file(demo_model() / "config.json");
  config["vocab_size"] = 300;
  expect_parts(error_of(good_,
                        [&](TrainConfig&, DatasetSection&) {
                          folder_.write("model/config.json", config.dump());
                        }),
               {"tokenizer.json", "ids that the model does not have", "300"});
}

}  // namespace
}  // namespace dms::train
