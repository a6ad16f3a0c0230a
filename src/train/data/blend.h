#pragma once
// Which dataset each sample of training comes from. As NVIDIA's recipe has it: int(weight *
// train_samples) samples of each dataset, in an order shuffled by the seed; a dataset's own samples
// are taken in turn and begin again at its end. Beyond train_samples the order repeats while the
// datasets move on, so that any index has an answer that depends on nothing but the index.

#include <cstdint>
#include <span>
#include <vector>

namespace dms::train::data {

class Blend {
 public:
  static constexpr int64_t kMaxSamples = int64_t{1} << 26;

  /// `weights` are positive, of any sum. train_samples is 1 to kMaxSamples.
  Blend(std::span<const double> weights, int64_t train_samples, uint64_t seed);

  struct Pick {
    int64_t dataset = 0;
    int64_t turn = 0;  // how many samples of this dataset come before
  };

  int64_t size() const { return std::ssize(picks_); }
  int64_t samples_of(int64_t dataset) const { return counts_[static_cast<size_t>(dataset)]; }
  Pick pick(int64_t index) const;  // index >= 0; size() must not be 0

 private:
  struct Entry {
    int32_t dataset;
    int32_t turn;
  };
  std::vector<Entry> picks_;
  std::vector<int64_t> counts_;
};

}  // namespace dms::train::data
