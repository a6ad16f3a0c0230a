// The device that runs this, an emulator as a rule, beside what a card has recorded.

#include <algorithm>

#include <gmock/gmock.h>

#include "cuda/device_buffer.h"
#include "cuda/golden_cases.h"
#include "cuda/source_folder.h"
#include "support/temp_folder.h"

namespace dms::testing_support {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> recorded_files() {
  std::vector<fs::path> files;
  std::error_code missing;  // a machine that has the program alone
  const fs::path folder = source_folder() / "tests" / "cuda" / "golden";
  for (const auto& entry : fs::directory_iterator(folder, missing)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

class Golden : public ::testing::TestWithParam<GoldenCase> {
 protected:
  void SetUp() override {
    if (const std::string problem = golden_problem(GetParam()); !problem.empty()) {
      GTEST_SKIP() << problem;
    }
  }
};

TEST_P(Golden, IsWhatACardMadeOfIt) {
  const GoldenCase& one = GetParam();
  size_t recorded = 0;
  for (const fs::path& file : recorded_files()) {
    const GoldenRecord record = read_golden(file);
    const auto card = record.outputs.find(one.name);
    if (card == record.outputs.end()) continue;
    ++recorded;
    GoldenCase same = one;
    same.input = record.inputs.at(one.name);
    EXPECT_EQ(golden_difference(same, run_golden(same), card->second), "")
        << file << ", recorded on " << record.device;
  }
  if (recorded == 0) GTEST_SKIP() << "no card has recorded " << one.name << " (scripts/gpu does)";
}

TEST_P(Golden, IsTheSameEveryTime) {
  const std::vector<uint32_t> first = run_golden(GetParam());
  EXPECT_EQ(run_golden(GetParam()), first);
  EXPECT_THAT(first, ::testing::Contains(::testing::Ne(0xffffffffu))) << "nothing was written";
}

INSTANTIATE_TEST_SUITE_P(All, Golden, ::testing::ValuesIn(golden_cases()), [](const auto& one) {
  return one.param.name;
});

TEST(GoldenRecord, IsReadAsItWasWritten) {
  const GoldenRecord record{
      .device = "a card", .inputs = {{"a", {1, 2}}}, .outputs = {{"a", {0xffffffffu}}, {"b", {}}}};
  const TempFolder folder;
  const fs::path file = folder.path() / "golden.json";
  write_golden(file, record);
  const GoldenRecord read = read_golden(file);
  EXPECT_EQ(read.device, record.device);
  EXPECT_EQ(read.inputs, record.inputs);
  EXPECT_EQ(read.outputs, record.outputs);
}

TEST(GoldenDifference, IsToldByBitsOrWithinATolerance) {
  const std::vector<uint32_t> one{0x3f800000u};    // 1
  const std::vector<uint32_t> above{0x3f800001u};  // 1 + 2^-23
  const std::vector<uint32_t> nan{0x7fc00000u};
  GoldenCase bits{.name = "bits", .output_words = 1};
  EXPECT_EQ(golden_difference(bits, one, one), "");
  EXPECT_THAT(golden_difference(bits, above, one), ::testing::HasSubstr("1 words differ; word 0"));
  EXPECT_THAT(golden_difference(bits, {}, one), ::testing::HasSubstr("0 words instead of 1"));
  for (const GoldenMatch match : {GoldenMatch::floats, GoldenMatch::relative}) {
    GoldenCase loose{.match = match, .tolerance = 0x1p-22, .output_words = 1};
    EXPECT_EQ(golden_difference(loose, above, one), "");
    EXPECT_NE(golden_difference(loose, nan, one), "");
    loose.tolerance = 0x1p-24;
    EXPECT_NE(golden_difference(loose, above, one), "");
  }
}

}  // namespace
}  // namespace dms::testing_support
