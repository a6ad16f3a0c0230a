// Families without a file of their own yet: the spec can say what they are. The golden holds the
// tensors of checkpoints that transformers saved (tests/python/test_family_weights.py writes it).

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/json.h"
#include "model/spec/family_specs.h"
#include "model/spec/weights.h"

namespace dms {
namespace {

using testing_support::FamilySpec;
using testing_support::kFamilySpecs;

using Shapes = std::map<std::string, std::vector<int64_t>>;

const std::filesystem::path kGolden =
    std::filesystem::path(DMS_SOURCE_DIR) / "tests/python/goldens/family_weights.json";

class ExpressibleFamily : public ::testing::TestWithParam<FamilySpec> {};

TEST_P(ExpressibleFamily, HasTheWeightsOfTransformersCheckpoints) {
  const Json golden = read_json_file(kGolden, int64_t{1} << 20);
  const auto expected = golden.at("families").at(std::string(GetParam().name)).get<Shapes>();
  Shapes got;
  for (const WeightName& weight : weight_names(GetParam().make())) {
    EXPECT_TRUE(got.emplace(weight.name, weight.shape).second) << weight.name << " stands twice";
  }
  EXPECT_EQ(got, expected);
}

INSTANTIATE_TEST_SUITE_P(Golden,
                         ExpressibleFamily,
                         ::testing::ValuesIn(kFamilySpecs),
                         [](const auto& item) { return std::string(item.param.name); });

TEST(ExpressibleFamilies, ProjectionsStandBesideWhatTheyProject) {
  const std::vector<WeightName> names = weight_names(testing_support::opt_350m_spec());
  const auto at = [&](WeightRole role) {
    return std::ranges::find(names, role, &WeightName::role) - names.begin();
  };
  EXPECT_EQ(at(WeightRole::embedding_projection), at(WeightRole::embedding) + 1);
  EXPECT_EQ(at(WeightRole::head_projection), std::ssize(names) - 1);
}

}  // namespace
}  // namespace dms
