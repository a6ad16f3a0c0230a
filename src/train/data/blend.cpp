#include "train/data/blend.h"

#include <numeric>

#include "base/check.h"
#include "base/random.h"

namespace dms::train::data {

Blend::Blend(std::span<const double> weights, int64_t train_samples, uint64_t seed) {
  ensure(train_samples > 0 && train_samples <= kMaxSamples, "a sensible number of samples");
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (int32_t dataset = 0; dataset < static_cast<int32_t>(weights.size()); ++dataset) {
    const double share = weights[static_cast<size_t>(dataset)] / sum;
    const auto count = static_cast<int64_t>(share * static_cast<double>(train_samples));
    counts_.push_back(count);
    picks_.insert(picks_.end(), static_cast<size_t>(count), Entry{dataset, 0});
  }
  Random random(seed, "order of the blend");
  shuffle(std::span(picks_), random);
  std::vector<int32_t> turns(weights.size());
  for (Entry& entry : picks_) entry.turn = turns[static_cast<size_t>(entry.dataset)]++;
}

Blend::Pick Blend::pick(int64_t index) const {
  ensure(index >= 0 && !picks_.empty(), "a sample of the blend");
  const int64_t pass = index / size();
  const Entry entry = picks_[static_cast<size_t>(index % size())];
  return {.dataset = entry.dataset, .turn = pass * samples_of(entry.dataset) + entry.turn};
}

}  // namespace dms::train::data
