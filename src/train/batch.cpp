#include "train/batch.h"

#include <algorithm>
#include <vector>

#include "base/check.h"

namespace dms::train {

Batch Batch::to(at::Device device) const {
  return {.ids = ids.to(device),
          .lengths = lengths.to(device),
          .targets = targets.to(device),
          .counted = counted.to(device),
          .tokens = tokens};
}

Batch make_batch(const PreparedData& data, int64_t first, int64_t size) {
  const std::vector<int32_t>& ends = data.end_tokens();
  std::vector<Sample> samples;
  int64_t width = 0;
  for (int64_t i = 0; i < size; ++i) {
    samples.push_back(data.sample(first + i));
    width = std::max(width, std::ssize(samples.back().ids));
  }
  ensure(width > 0, "empty samples");
  Batch batch{.ids = at::zeros({size, width}, at::kLong),
              .lengths = at::zeros({size}, at::kLong),
              .targets = at::full({size * width}, -1, at::kLong),
              .counted = at::zeros({size * width}, at::kBool)};
  auto* ids = batch.ids.mutable_data_ptr<int64_t>();
  auto* targets = batch.targets.mutable_data_ptr<int64_t>();
  auto* counted = batch.counted.mutable_data_ptr<bool>();
  for (int64_t row = 0; row < size; ++row) {
    const Sample& sample = samples[static_cast<size_t>(row)];
    const size_t count = sample.ids.size();
    batch.lengths[row] = static_cast<int64_t>(count);
    batch.tokens += static_cast<int64_t>(count);
    for (size_t i = 0; i < count; ++i) {
      const int64_t at = row * width + static_cast<int64_t>(i);
      ids[at] = sample.ids[i];
      if (std::ranges::find(ends, sample.ids[i]) != ends.end()) continue;
      // The last token's target is unknown here; whether it counts is told by its own mark.
      const bool is_last = i + 1 == count;
      counted[at] = sample.loss[is_last ? i : i + 1] != 0;
      if (!is_last && counted[at]) targets[at] = sample.ids[i + 1];
    }
  }
  return batch;
}

}  // namespace dms::train
