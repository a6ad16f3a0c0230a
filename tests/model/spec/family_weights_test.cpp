// Names and shapes of weights are those of checkpoints that transformers saved: the golden, which
// tests/python/test_family_weights.py writes, holds them.

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/json.h"
#include "model/spec/family_configs.h"
#include "model/spec/tiny_config.h"
#include "model/spec/weights.h"

namespace dms {
namespace {

using testing_support::FamilyConfig;
using testing_support::kFamilyConfigs;
using testing_support::spec_of;

using Shapes = std::map<std::string, std::vector<int64_t>>;

const std::filesystem::path kGolden =
    std::filesystem::path(DMS_SOURCE_DIR) / "tests/python/goldens/family_weights.json";

class FamilyWeights : public ::testing::TestWithParam<FamilyConfig> {};

TEST_P(FamilyWeights, AreThoseOfTransformersCheckpoints) {
  const Json golden = read_json_file(kGolden, int64_t{1} << 20);
  const auto expected = golden.at("families").at(std::string(GetParam().name)).get<Shapes>();
  Shapes got;
  for (const WeightName& weight : weight_names(spec_of(GetParam().make()))) {
    EXPECT_TRUE(got.emplace(weight.name, weight.shape).second) << weight.name << " stands twice";
  }
  EXPECT_EQ(got, expected);
}

INSTANTIATE_TEST_SUITE_P(Golden,
                         FamilyWeights,
                         ::testing::ValuesIn(kFamilyConfigs),
                         [](const auto& item) { return std::string(item.param.name); });

TEST(WeightNames, ProjectionsStandBesideWhatTheyProject) {
  const std::vector<WeightName> names = weight_names(spec_of(testing_support::opt_350m_config()));
  const auto at = [&](WeightRole role) {
    return std::ranges::find(names, role, &WeightName::role) - names.begin();
  };
  EXPECT_EQ(at(WeightRole::embedding_projection), at(WeightRole::embedding) + 1);
  EXPECT_EQ(at(WeightRole::head_projection), std::ssize(names) - 1);
}

}  // namespace
}  // namespace dms
