// What `dms data prepare` and `dms data inspect` print.

#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "support/errors.h"
#include "train/data/command.h"
#include "train/data/fixture.h"

namespace dms::train {
namespace {

using namespace fixture;
using dms::testing_support::expect_parts;

class Report : public ::testing::Test {
 protected:
  Report() {
    std::string lines;
    for (int i = 0; i < 20; ++i) {
      const std::string n = std::to_string(i);
      lines += Json{{"messages",
                     {{{"role", "user"}, {"content", "What is " + n + "?"}},
                      {{"role", "assistant"}, {"content", "A number, " + n + "."}}}},
                    {"n", i}}
                   .dump() +
               "\n";
    }
    DatasetSection dataset = text_dataset("chats", folder_.write("chats.jsonl", lines));
    dataset.kind = DatasetKind::conversation;
    dataset.field = "messages";
    dataset.filter = "n > 4";
    config_ = config_of(folder_, dataset);
    config_.model.name = model_with_template(folder_, kPlainTemplate);
    config_.data.max_length = 30;
    config_.data.concat_always_start_new = false;
    config_.data.train_samples = 10;
    config_.trainer.max_steps = 3;
    config_.trainer.batch_size = 2;
    config_.trainer.accumulation_steps = 2;
    config_.data.loss_on = LossOn::assistant;
  }

  TempFolder folder_;
  TrainConfig config_;
};

TEST_F(Report, TextSaysWhatWasKeptAndDropped) {
  const std::string text = run_prepare(config_, false, {});
  expect_parts(text,
               {"chats\n",
                "weight 1.000: the run takes about 12 samples",
                "15 of 20 records, dropped: filter 5",
                "of 30 tokens; ",
                "the run: 3 steps, 12 samples a process; the blend repeats after 10",
                "chats-tokens-",
                "KiB"});
  EXPECT_TRUE(text.ends_with("\n"));
}

TEST_F(Report, JsonIsOneLineWithTheSameNumbers) {
  const std::string line = run_prepare(config_, true, {});
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const Json json = Json::parse(line);
  const auto data = prepare_data(config_, {});
  const DatasetReport& report = data->report()[0];
  EXPECT_EQ(json["run_samples"], 12);
  EXPECT_EQ(json["blend_samples"], 10);
  EXPECT_EQ(json["max_length"], 30);
  const Json& dataset = json["datasets"][0];
  EXPECT_EQ(dataset["name"], "chats");
  EXPECT_EQ(dataset["records"], 20);
  EXPECT_EQ(dataset["documents"], 15);
  EXPECT_EQ(dataset["dropped"], (Json{{"filter", 5}}));
  EXPECT_EQ(dataset["tokens"], report.tokens);
  EXPECT_EQ(dataset["loss_tokens"], report.loss_tokens);
  EXPECT_EQ(dataset["samples"], report.samples);
  EXPECT_EQ(dataset["tokens_left"], report.tokens_left);
  EXPECT_EQ(dataset["cache"].size(), 2u);
}

TEST_F(Report, InspectShowsTheSamplesWithWhatIsNoTargetMarked) {
  const Json json = Json::parse(run_inspect(config_, 3, true, {}));
  const auto data = prepare_data(config_, {});
  const text::Tokenizer tokenizer = demo_tokenizer();
  ASSERT_EQ(json["shown"].size(), 3u);
  for (int64_t i = 0; i < 3; ++i) {
    const Json& shown = json["shown"][static_cast<size_t>(i)];
    EXPECT_EQ(shown["index"], i);
    std::string whole;
    for (const Json& part : shown["parts"]) {
      const auto text = part["text"].get<std::string>();
      whole += text;
      if (part["target"] == false) continue;
      EXPECT_NE(text.find("number"), std::string::npos) << "answers alone count: " << text;
    }
    EXPECT_EQ(whole, tokenizer.decode(data->sample(i).ids, false));
  }
  const std::string text = run_inspect(config_, 2, false, {});
  expect_parts(text, {"--- sample 0: 30 tokens", "--- sample 1: 30 tokens", "⟧A number, "});
  EXPECT_EQ(text.find("--- sample 2"), std::string::npos);
}

TEST_F(Report, LongStretchesAreShortenedBetweenCharacters) {
  std::string words;
  for (int i = 0; i < 3000; ++i) words += "\xC3\xA9t\xC3\xA9 ";
  TrainConfig config = config_of(folder_, text_dataset("long", folder_.write("long.txt", words)));
  config.data.max_length = 2000;
  const std::string text = run_inspect(config, 1, false, {});
  expect_parts(text, {" more bytes) … "});
  EXPECT_LT(text.size(), 3000u);
  EXPECT_EQ(text.find("\xEF\xBF\xBD"), std::string::npos) << "no broken characters";
  EXPECT_NO_THROW(Json(text).dump()) << "well-formed UTF-8";
}

TEST_F(Report, NotesTellWhatIsLost) {
  TrainConfig config =
      config_of(folder_, text_dataset("texts", folder_.write("a.jsonl", numbered_texts(60))));
  config.data.datasets["rare"] = text_dataset("rare", folder_.path() / "a.jsonl");
  config.data.blend = {{"texts", 1.0}, {"rare", 0.0001}};
  config.data.train_samples = 10;
  config.data.max_length = 4;
  const std::string text = run_prepare(config, false, {});
  expect_parts(text,
               {"note: dataset texts: ",
                "% of its tokens are cut off by max_length",
                "concat_always_start_new: false",
                "note: dataset rare: its weight gives it no sample"});
}

}  // namespace
}  // namespace dms::train
