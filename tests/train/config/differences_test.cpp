#include "train/config/differences.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dms::train {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr const char* kBefore = R"(
objective: dms
model: {name: base}
dms: {window_size: 64, train: [adapter]}
data: {blend: "a:1.0", cache_dir: here, datasets: {a: {path: a.jsonl}}}
hf_trainer: {output_dir: out, max_steps: 10}
)";

TEST(ConfigDifferences, NamesWhatChanged) {
  const char* const now = R"(
model: {name: other}
dms: {window_size: 128, train: [adapter], tau: 0.5}
data: {blend: "a:1.0", cache_dir: there, datasets: {a: {path: a.jsonl}}}
hf_trainer: {output_dir: out, max_steps: 20}
)";
  EXPECT_THAT(config_differences(kBefore, now),
              ElementsAre("dms.tau: was not set, is 0.5",
                          "dms.window_size: was 64, is 128",
                          "model.name: was base, is other",
                          "objective: was dms, is not set"));
}

TEST(ConfigDifferences, NothingWhereNothingThatMattersChanged) {
  EXPECT_THAT(config_differences(kBefore, kBefore), IsEmpty());
}

TEST(ConfigDifferences, TextThatIsNoYaml) {
  EXPECT_THAT(config_differences("{", "model: {name: base}"),
              ElementsAre("model.name: was not set, is base"));
}

}  // namespace
}  // namespace dms::train
