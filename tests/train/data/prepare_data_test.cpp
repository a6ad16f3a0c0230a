// The whole way from files to samples.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/errors.h"
#include "train/data/fixture.h"

namespace dms::train {
namespace {

using namespace fixture;
namespace fs = std::filesystem;

/// What the documents' tokens must be, in the files' order.
std::vector<std::vector<int32_t>> expected_documents(int64_t count) {
  const text::Tokenizer tokenizer = demo_tokenizer();
  std::vector<std::vector<int32_t>> documents;
  const std::string lines = numbered_texts(count);
  for (size_t begin = 0; begin < lines.size();) {
    const size_t end = lines.find('\n', begin);
    const Json record = Json::parse(lines.substr(begin, end - begin));
    documents.push_back(tokenizer.encode(record["text"].get<std::string>(), true));
    documents.back().push_back(1);  // <|end_of_text|>
    begin = end + 1;
  }
  return documents;
}

TEST(PrepareData, CarriedSamplesHoldEveryTokenOnceInOrder) {
  const TempFolder folder;
  TrainConfig config =
      config_of(folder, text_dataset("numbers", folder.write("a.jsonl", numbered_texts(60))));
  config.data.concat_always_start_new = false;
  const auto data = prepare_data(config, {});
  const DatasetReport& report = data->report().at(0);
  const auto documents = expected_documents(60);
  int64_t tokens = 0;
  for (const auto& document : documents) tokens += std::ssize(document);
  EXPECT_EQ(report.records, 60);
  EXPECT_EQ(report.documents, 60);
  EXPECT_EQ(report.tokens, tokens);
  EXPECT_EQ(report.loss_tokens, tokens);
  EXPECT_EQ(report.samples, tokens / 16);
  EXPECT_EQ(report.tokens_left, tokens % 16);
  EXPECT_EQ(report.tokens_cut, 0);
  // Samples are stretches of the documents in some order: each 3 tokens in a row that hold no
  // document's border stand in one of them.
  std::string all;
  for (const auto& document : documents) {
    for (const int32_t id : document) all += std::to_string(id) + ",";
  }
  for (int64_t i = 0; i < report.samples; ++i) {
    const Sample sample = data->sample(i);
    ASSERT_EQ(sample.ids.size(), 16u);
    EXPECT_EQ(sample.loss, std::vector<uint8_t>(16, 1));
    std::string run;
    for (const int32_t id : sample.ids) {
      run += std::to_string(id) + ",";
      if (id != 1) continue;
      EXPECT_NE(all.find(run), std::string::npos) << run;
      run.clear();
    }
  }
}

TEST(PrepareData, SamplesThatStartNewBeginWithADocument) {
  const TempFolder folder;
  const TrainConfig config =
      config_of(folder, text_dataset("numbers", folder.write("a.jsonl", numbered_texts(60))));
  const auto data = prepare_data(config, {});
  for (int64_t i = 0; i < data->report()[0].samples; ++i) {
    EXPECT_EQ(data->sample(i).ids.front(), 0) << "<|begin_of_text|>";
  }
  EXPECT_GT(data->report()[0].tokens_cut, 0);
}

TEST(PrepareData, IsTheSameForAnyNumberOfThreads) {
  const TempFolder folder;
  TrainConfig config =
      config_of(folder, text_dataset("numbers", folder.write("a.jsonl", numbered_texts(500))));
  config.data.datasets["recall"] = generated(
      "recall", R"({"kind": "recall", "source": "numbers", "documents": 40, "min_tokens": 100})");
  config.data.datasets["copy"] =
      generated("copy", R"({"kind": "copy", "source": "numbers", "documents": 40})");
  config.data.blend = {{"numbers", 0.5}, {"recall", 0.3}, {"copy", 0.2}};
  config.data.max_length = 200;
  config.data.train_samples = 100;
  config.data.concat_always_start_new = false;
  config.trainer.threads = 1;
  const auto one = prepare_data(config, {});
  for (const int64_t threads : {2, 5}) {
    config.trainer.threads = threads;
    config.data.cache_dir = folder.path() / ("threads" + std::to_string(threads));
    const auto several = prepare_data(config, {});
    EXPECT_TRUE(same_samples(*one, *several, 250));
  }
}

TEST(PrepareData, SeedChangesOrderAndGeneratedDocuments) {
  const TempFolder folder;
  TrainConfig config =
      config_of(folder, text_dataset("numbers", folder.write("a.jsonl", numbered_texts(100))));
  const auto first = prepare_data(config, {});
  config.trainer.seed = 43;
  const auto second = prepare_data(config, {});
  EXPECT_FALSE(same_samples(*first, *second, 10));
}

TEST(PrepareData, IndexBeyondOnePassGoesOn) {
  const TempFolder folder;
  TrainConfig config =
      config_of(folder, text_dataset("numbers", folder.write("a.jsonl", numbered_texts(60))));
  config.data.train_samples = 5;
  const auto data = prepare_data(config, {});
  EXPECT_EQ(data->size(), 5);
  const int64_t samples = data->report()[0].samples;
  ASSERT_GT(samples, 6);
  EXPECT_NE(data->sample(5).ids, data->sample(0).ids) << "the dataset has more to give";
  EXPECT_EQ(data->sample(samples).ids, data->sample(0).ids);
  EXPECT_EQ(data->sample(samples * 1'000'000 + 3).ids, data->sample(3).ids);
}

TEST(PrepareData, BlendTakesSamplesByWeight) {
  const TempFolder folder;
  TrainConfig config =
      config_of(folder, text_dataset("a", folder.write("a.jsonl", numbered_texts(60))));
  std::string others;
  for (int i = 0; i < 50; ++i)
    others += R"({"text": "Zebra zebra zebra zebra zebra."})"
              "\n";
  config.data.datasets["b"] = text_dataset("b", folder.write("b.jsonl", others));
  config.data.blend = {{"a", 6.0}, {"b", 2.0}};
  config.data.train_samples = 101;
  const auto data = prepare_data(config, {});
  EXPECT_EQ(data->size(), 75 + 25);
  const int32_t zebra = demo_tokenizer().encode("Zebra zebra", false)[0];
  int64_t from_b = 0;
  for (int64_t i = 0; i < data->size(); ++i) from_b += data->sample(i).ids[1] == zebra ? 1 : 0;
  EXPECT_EQ(from_b, 25);
  EXPECT_DOUBLE_EQ(data->report()[1].weight, 0.25);
  EXPECT_EQ(data->report()[1].blend_samples, 25);
}

TEST(PrepareData, OpenTrainSamplesReachFarEnoughForSmallWeights) {
  const TempFolder folder;
  TrainConfig config =
      config_of(folder, text_dataset("a", folder.write("a.jsonl", numbered_texts(60))));
  config.data.datasets["b"] = text_dataset("b", folder.path() / "a.jsonl");
  config.data.blend = {{"a", 0.999}, {"b", 0.001}};
  config.data.train_samples = 0;
  config.trainer.max_steps = 3;
  const auto data = prepare_data(config, {});
  EXPECT_GT(data->report()[1].blend_samples, 0);
}

TEST(PrepareData, FilterSplitAndEmptyTextsAreCountedAsDropped) {
  const TempFolder folder;
  DatasetSection dataset = text_dataset(
      "numbers", folder.write("a.jsonl", numbered_texts(200) + "{\"text\": \"\", \"n\": 0}\n"));
  dataset.filter = "n < 150";
  dataset.valid_fraction = 0.3;
  std::map<std::string, DatasetReport> reports;
  for (const char* split : {"train", "valid"}) {
    dataset.split = split;
    reports[split] = prepare_data(config_of(folder, dataset), {})->report().at(0);
  }
  for (const auto& [split, report] : reports) EXPECT_EQ(report.records, 201);
  EXPECT_EQ(reports["train"].documents + reports["valid"].documents, 150);
  EXPECT_EQ(reports["train"].dropped["filter"] + reports["valid"].dropped["filter"], 50);
  EXPECT_EQ(reports["train"].dropped["empty"] + reports["valid"].dropped["empty"], 1);
  EXPECT_EQ(reports["train"].dropped["other split"] + reports["valid"].dropped["other split"], 201);
  // 0.3 of 201 records, six standard deviations apart at most.
  EXPECT_NEAR(static_cast<double>(reports["train"].dropped["other split"]), 60, 39);
}

TEST(PrepareData, TextFilesAreDocuments) {
  const TempFolder folder;
  folder.write("books/one.txt", "The first book has a few words in it, no more than that.");
  folder.write("books/two.txt", "The second one is short as well, but not empty at all.");
  TrainConfig config = config_of(folder, text_dataset("books", folder.path() / "books"));
  config.data.max_length = 8;
  EXPECT_EQ(prepare_data(config, {})->report()[0].documents, 2);
  config.data.datasets["books"].filter = "'second' in text";
  EXPECT_EQ(prepare_data(config, {})->report()[0].documents, 1);
}

TEST(PrepareData, ConversationsOfThePublishedRecipesDataset) {
  // The form of OpenR1-Math-220k: the last verified generation is the answer.
  const TempFolder folder;
  const std::string lines =
      R"({"problem": "1+1?", "generations": ["3", "2", "two"], "correctness_math_verify": [false, true, true]})"
      "\n"
      R"({"problem": "2+2?", "generations": ["5"], "correctness_math_verify": [false]})"
      "\n";
  DatasetSection dataset = text_dataset("math", folder.write("math.jsonl", lines));
  dataset.kind = DatasetKind::conversation;
  dataset.prompt_field = "problem";
  dataset.response_field = "generations[correctness_math_verify]";
  dataset.filter = "any(correctness_math_verify)";
  TrainConfig config = config_of(folder, dataset);
  config.model.name = model_with_template(folder, kPlainTemplate);
  config.data.loss_on = LossOn::assistant;
  const text::Tokenizer tokenizer = demo_tokenizer();
  const std::vector<int32_t> ids = tokenizer.encode(
      "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n1+1?<|eot_id|>"
      "<|start_header_id|>assistant<|end_header_id|>\n\ntwo<|eot_id|>",
      false);
  config.data.max_length = std::ssize(ids);
  const auto data = prepare_data(config, {});
  EXPECT_EQ(data->report()[0].samples, 1);
  EXPECT_EQ(data->report()[0].dropped.at("filter"), 1);
  const Sample sample = data->sample(0);
  EXPECT_EQ(sample.ids, ids);
  const int64_t answer = std::ssize(tokenizer.encode("two<|eot_id|>", false));
  EXPECT_EQ(data->report()[0].loss_tokens, answer);
  for (int64_t i = 0; i < std::ssize(ids); ++i) {
    EXPECT_EQ(sample.loss[static_cast<size_t>(i)], i >= std::ssize(ids) - answer ? 1 : 0);
  }
}

class CachedData : public ::testing::Test {
 protected:
  CachedData() : file_(folder_.write("a.jsonl", numbered_texts(80))) {}

  TrainConfig config() const { return config_of(folder_, text_dataset("numbers", file_)); }
  /// Prepares and tells whether anything was tokenized or packed.
  std::string work_done(const TrainConfig& config) const {
    std::string stages;
    prepare_data(config, [&](const std::string& stage, int64_t, int64_t) {
      if (!stages.ends_with(stage)) stages += (stages.empty() ? "" : ", ") + stage;
    });
    return stages;
  }

  TempFolder folder_;
  fs::path file_;
};

TEST_F(CachedData, SecondTimeHasNothingToDo) {
  EXPECT_EQ(work_done(config()), "tokenize numbers, pack numbers");
  const auto before = prepare_data(config(), {});
  fs::last_write_time(file_, fs::last_write_time(file_) + std::chrono::seconds(1));
  EXPECT_EQ(work_done(config()), "");
  EXPECT_TRUE(same_samples(*before, *prepare_data(config(), {}), 20));
}

TEST_F(CachedData, ChangedFilesAreReadAgain) {
  work_done(config());
  folder_.write("a.jsonl", numbered_texts(81));
  EXPECT_EQ(work_done(config()), "tokenize numbers, pack numbers");
  EXPECT_EQ(prepare_data(config(), {})->report()[0].documents, 81);
}

/// Not even size and time give a change away.
TEST_F(CachedData, ContentsAreWhatCounts) {
  work_done(config());
  const auto time = fs::last_write_time(file_);
  std::string text = read_text_file(file_, 1 << 20);
  text.replace(text.find('1'), 1, "2");
  folder_.write("a.jsonl", text);
  fs::last_write_time(file_, time);
  EXPECT_EQ(work_done(config()), "tokenize numbers, pack numbers");
}

TEST_F(CachedData, EachSettingReachesTheStagesThatDependOnIt) {
  const std::string all = "tokenize numbers, pack numbers";
  work_done(config());
  const auto work_after = [&](auto&& change) {
    TrainConfig changed = config();
    change(changed);
    return work_done(changed);
  };
  EXPECT_EQ(work_after([](auto& c) { c.data.max_length = 17; }), "pack numbers");
  EXPECT_EQ(work_after([](auto& c) { c.trainer.seed = 1; }), "pack numbers");
  EXPECT_EQ(work_after([](auto& c) { c.data.concat_always_start_new = false; }), "pack numbers");
  EXPECT_EQ(work_after([](auto& c) { c.data.add_eos = false; }), all);
  EXPECT_EQ(work_after([](auto& c) { c.data.datasets["numbers"].filter = "n > 1"; }), all);
  EXPECT_EQ(work_after([](auto& c) {
              c.data.datasets["numbers"].split = "train";
              c.data.datasets["numbers"].valid_fraction = 0.1;
            }),
            all);
  EXPECT_EQ(work_after([](auto& c) { c.data.train_samples = 7; }), "");
  EXPECT_EQ(work_after([](auto& c) { c.trainer.threads = 1; }), "");
  EXPECT_EQ(work_after([](auto& c) { c.trainer.max_steps = 7; }), "");
  EXPECT_EQ(work_done(config()), "") << "the first one is still there";
}

TEST_F(CachedData, OtherTokenizersTokenizeAgain) {
  work_done(config());
  TrainConfig other = config();
  other.model.name = model_with_template(folder_, kPlainTemplate);
  EXPECT_EQ(work_done(other), "") << "the same tokenizer.json in another folder";
  Json tokenizer = read_json_file(demo_model() / "tokenizer.json");
  tokenizer["added_tokens"][5]["lstrip"] = true;
  folder_.write("model/tokenizer.json", tokenizer.dump());
  EXPECT_EQ(work_done(other), "tokenize numbers, pack numbers");
  const std::string template_alone = R"({"chat_template": "x"})";
  folder_.write("model/tokenizer_config.json", template_alone);
  EXPECT_EQ(work_done(other), "") << "the same tokens";
  folder_.write("model/added_tokens.json", R"({"<extra>": 8192})");
  EXPECT_EQ(work_done(other), "tokenize numbers, pack numbers") << "a token more";
  folder_.write("model/special_tokens_map.json", R"({"eos_token": "<extra>"})");
  EXPECT_EQ(work_done(other), "tokenize numbers, pack numbers") << "a special one";
}

/// What a folder's side files add is what generation knows.
TEST_F(CachedData, TokensAndEndsOfSideFilesAreThoseOfTheText) {
  TrainConfig other = config();
  other.model.name = model_with_template(folder_, kPlainTemplate);
  Json model = read_json_file(demo_model() / "config.json");
  model.erase("eos_token_id");
  folder_.write("model/config.json", model.dump());
  folder_.write("model/tokenizer_config.json",
                R"({"eos_token": "<|eot_id|>", "extra_special_tokens": ["says:"]})");
  const text::Tokenizer tokenizer = text::Tokenizer::load_folder(other.model.name);
  const int32_t says = *tokenizer.token_id("says:");
  const int32_t end = *tokenizer.token_id("<|eot_id|>");
  model["vocab_size"] = says + 1;
  folder_.write("model/config.json", model.dump());
  const auto data = prepare_data(other, {});
  EXPECT_EQ(data->end_tokens(), std::vector<int32_t>{end});
  std::map<int32_t, int64_t> counts;
  for (const Sample& sample : first_samples(*data, data->report()[0].samples)) {
    for (const int32_t id : sample.ids) ++counts[id];
  }
  EXPECT_GT(counts[says], 0);
  EXPECT_GT(counts[end], 0);
}

TEST_F(CachedData, GeneratedDatasetsFollowTheirSource) {
  TrainConfig with_copies = config();
  with_copies.data.max_length = 200;
  with_copies.data.datasets["copy"] =
      generated("copy", R"({"kind": "copy", "source": "numbers", "documents": 40})");
  with_copies.data.blend = {{"copy", 1.0}};
  EXPECT_EQ(work_done(with_copies), "tokenize numbers, generate copy, pack copy");
  EXPECT_EQ(work_done(with_copies), "");
  folder_.write("a.jsonl", numbered_texts(81));
  EXPECT_EQ(work_done(with_copies), "tokenize numbers, generate copy, pack copy");
}

TEST_F(CachedData, DamagedFilesAreMadeAgainWithANote) {
  TrainConfig carried = config();
  carried.data.concat_always_start_new = false;
  std::vector<fs::path> folders;
  std::vector<Sample> samples;
  {
    const auto data = prepare_data(carried, {});
    folders = data->report()[0].cache;
    samples = first_samples(*data, 20);
  }
  for (const auto& folder : folders) {
    for (const char* name :
         {"tokens.bin", "offsets.bin", "loss.bin", "order.bin", "starts.bin", "stage.json"}) {
      if (!fs::exists(folder / name)) continue;
      fs::resize_file(folder / name, fs::file_size(folder / name) / 2 + 1);
      const auto data = prepare_data(carried, {});
      ASSERT_EQ(data->notes().size(), 1u) << name << ": " << data->notes().back();
      dms::testing_support::expect_parts(data->notes()[0], {"made again", name});
      for (int64_t i = 0; i < std::ssize(samples); ++i) {
        EXPECT_EQ(data->sample(i).ids, samples[static_cast<size_t>(i)].ids);
      }
      EXPECT_TRUE(prepare_data(carried, {})->notes().empty());
    }
  }
}

}  // namespace
}  // namespace dms::train
