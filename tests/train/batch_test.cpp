// What a micro-batch feeds the model and which of its tokens count.

#include "train/batch.h"

#include <gmock/gmock.h>

#include "train/given_data.h"

namespace dms::train {
namespace {

using fixture::GivenData;
using ::testing::ElementsAre;

std::vector<int64_t> values(const at::Tensor& x) {
  const at::Tensor flat = x.to(at::kLong).contiguous().flatten();
  return {flat.const_data_ptr<int64_t>(), flat.const_data_ptr<int64_t>() + flat.numel()};
}

Sample sample(std::vector<int32_t> ids, std::vector<uint8_t> loss = {}) {
  if (loss.empty()) loss.assign(ids.size(), 1);
  return {std::move(ids), std::move(loss)};
}

Batch batch_of(std::vector<Sample> samples, const std::vector<int32_t>& eos = {2}) {
  const auto count = std::ssize(samples);
  return make_batch(GivenData(std::move(samples), eos), 0, count);
}

TEST(Batch, PadsRowsOnTheRight) {
  const Batch batch = batch_of({sample({5, 6}), sample({7, 8, 9, 10}), sample({11})});
  EXPECT_THAT(batch.ids.sizes(), ElementsAre(3, 4));
  EXPECT_THAT(values(batch.ids), ElementsAre(5, 6, 0, 0, 7, 8, 9, 10, 11, 0, 0, 0));
  EXPECT_THAT(values(batch.lengths), ElementsAre(2, 4, 1));
  EXPECT_EQ(batch.tokens, 7);
  EXPECT_THAT(values(batch.targets), ElementsAre(6, -1, -1, -1, 8, 9, 10, -1, -1, -1, -1, -1));
  EXPECT_THAT(values(batch.counted), ElementsAre(1, 1, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0));
}

TEST(Batch, NothingIsLearntFromAnEndOfText) {
  const Batch batch = batch_of({sample({5, 2, 7, 3, 9})}, {2, 3});
  EXPECT_THAT(values(batch.targets), ElementsAre(2, -1, 3, -1, -1));
  EXPECT_THAT(values(batch.counted), ElementsAre(1, 0, 1, 0, 1));
}

/// The mark of a token says whether it counts as a target, so it counts for the token before it.
TEST(Batch, MarksChooseTargets) {
  const Batch batch = batch_of({sample({5, 6, 7, 8, 9}, {1, 0, 1, 1, 0})});
  EXPECT_THAT(values(batch.targets), ElementsAre(-1, 7, 8, -1, -1));
  EXPECT_THAT(values(batch.counted), ElementsAre(0, 1, 1, 0, 0));
}

TEST(Batch, TakesTheSamplesAskedFor) {
  const GivenData data({sample({1, 4}), sample({3, 4}), sample({5, 4})});
  const Batch batch = make_batch(data, 1, 3);
  EXPECT_THAT(values(batch.ids), ElementsAre(3, 4, 5, 4, 1, 4));
  EXPECT_THAT(values(batch.targets), ElementsAre(4, -1, 4, -1, 4, -1));
}

}  // namespace
}  // namespace dms::train
