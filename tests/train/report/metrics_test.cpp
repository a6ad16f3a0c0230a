#include "train/report/metrics.h"

#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "base/json.h"
#include "support/errors.h"
#include "support/file_limit.h"
#include "support/temp_folder.h"

namespace dms::train {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;
using testing_support::TempFolder;

StepMetrics full_step(int64_t step) {
  return {.step = step,
          .loss = 0.5,
          .kl = 0.25,
          .lm_loss = 2.5,
          .target_fraction = 0.75,
          .fraction_closed = 0.7,
          .cr = 3.3333333333333335,
          .target_cr = 4.0,
          .lr = 3e-5,
          .grad_norm = 1.25,
          .tok_s = 1234.5,
          .tokens = 8192};
}

std::string text_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

TEST(Metrics, ALineIsOneObjectWithTheFieldsNames) {
  const std::string line = metrics_line(full_step(7));
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_EQ(Json::parse(line), Json::parse(R"({"step": 7, "loss": 0.5, "kl": 0.25, "lm_loss": 2.5,
                            "target_fraction": 0.75, "fraction_closed": 0.7,
                            "cr": 3.3333333333333335, "target_cr": 4.0, "lr": 3e-5,
                            "grad_norm": 1.25, "tok_s": 1234.5, "tokens": 8192})"));
  EXPECT_EQ(line.find("{\"step\":7,\"loss\":0.5"), 0u);
}

TEST(Metrics, WhatIsNotMeasuredIsLeftOutAndWhatIsNotFiniteIsNull) {
  const StepMetrics step{.step = 1, .loss = std::nan(""), .lm_loss = 2.0};
  const Json row = Json::parse(metrics_line(step));
  EXPECT_TRUE(row["loss"].is_null());
  EXPECT_FALSE(row.contains("kl"));
  EXPECT_FALSE(row.contains("cr"));
}

TEST(Metrics, ReadsWhatItWrote) {
  const TempFolder folder;
  const auto file = folder.path() / "metrics.jsonl";
  StepMetrics bad{.step = 2, .loss = std::nan(""), .kl = std::numeric_limits<double>::infinity()};
  {
    MetricsLog log(file, 0);
    log.write(full_step(1));
    log.write(bad);
    EXPECT_EQ(read_metrics(file).size(), 2u);  // before it is closed
  }
  const std::vector<StepMetrics> steps = read_metrics(file);
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_EQ(metrics_line(steps[0]), metrics_line(full_step(1)));
  EXPECT_EQ(steps[0].cr, 3.3333333333333335);
  EXPECT_EQ(steps[1].step, 2);
  EXPECT_TRUE(std::isnan(steps[1].loss));
  ASSERT_TRUE(steps[1].kl.has_value());
  EXPECT_TRUE(std::isnan(*steps[1].kl));
  EXPECT_FALSE(steps[1].cr.has_value());
}

TEST(Metrics, AResumedRunContinuesBehindItsStep) {
  const TempFolder folder;
  const auto file = folder.path() / "metrics.jsonl";
  std::string expected;
  {
    MetricsLog log(file, 0);
    for (int64_t step = 1; step <= 9; ++step) log.write(full_step(step));
  }
  {
    MetricsLog log(file, 6);
    for (int64_t step = 7; step <= 8; ++step) log.write(full_step(step));
  }
  for (int64_t step = 1; step <= 8; ++step) expected += metrics_line(full_step(step)) + "\n";
  EXPECT_EQ(text_of(file), expected);
}

TEST(Metrics, HalfALineIsCutWhenTheRunResumes) {
  const TempFolder folder;
  const std::string whole = metrics_line(full_step(1)) + "\n";
  const std::string half = metrics_line(full_step(2));
  for (size_t length = 0; length <= half.size(); ++length) {
    const auto file = folder.write("metrics.jsonl", whole + half.substr(0, length));
    EXPECT_EQ(read_metrics(file).size(), 1u) << length;
    MetricsLog(file, 5).write(full_step(2));
    EXPECT_EQ(text_of(file), whole + half + "\n") << length;
  }
}

TEST(Metrics, AFreshRunKeepsNothing) {
  const TempFolder folder;
  const auto file = folder.write("metrics.jsonl", metrics_line(full_step(1)) + "\n");
  const MetricsLog log(file, 0);
  EXPECT_EQ(text_of(file), "");
}

TEST(Metrics, OtherFilesAreNoMetrics) {
  const TempFolder folder;
  EXPECT_TRUE(read_metrics(folder.path() / "none").empty());
  for (const std::string& text : {std::string("[1]\n"),
                                  std::string("{}\n"),
                                  std::string("{\"step\": 0}\n"),
                                  std::string("{\"step\": \"1\"}\n"),
                                  std::string(1 << 20, '[') + "\n",
                                  std::string("\xff\x00\n", 3)}) {
    EXPECT_TRUE(read_metrics(folder.write("metrics.jsonl", text)).empty());
  }
  EXPECT_EQ(read_metrics(folder.write("metrics.jsonl", "{\"step\": 3, \"loss\": []}\n")).size(),
            1u);
}

TEST(Metrics, AFileThatCannotBeOpenedIsNamed) {
  const TempFolder folder;
  const auto file = folder.path() / "missing" / "metrics.jsonl";
  expect_parts(input_error([&] { MetricsLog(file, 0); }), {file.string(), "cannot be opened"});
}

TEST(Metrics, AFullDiskIsAnError) {
  const TempFolder folder;
  const auto file = folder.path() / "metrics.jsonl";
  MetricsLog log(file, 0);
  log.write(full_step(1));
  const dms::testing_support::FileLimit limit(300);
  EXPECT_THROW(log.write(full_step(2)), RunError);
}

}  // namespace
}  // namespace dms::train
