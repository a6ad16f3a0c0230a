#include "cache/eviction_times.h"

#include <algorithm>

namespace dms::cache {

void EvictionTimes::set(int64_t position, int64_t time) {
  const auto index = static_cast<size_t>(position);
  if (index >= times_.size()) times_.resize(index + 1, 0);
  times_[index] = static_cast<int32_t>(time);
}

int64_t EvictionTimes::at(int64_t position) const {
  return position < std::ssize(times_) ? times_[static_cast<size_t>(position)] : 0;
}

std::vector<int32_t> EvictionTimes::evicted_at(int64_t time) const {
  std::vector<int32_t> positions;
  for (size_t i = 0; i < times_.size(); ++i) {
    if (times_[i] == time) positions.push_back(static_cast<int32_t>(i));
  }
  return positions;
}

void EvictionTimes::forget_after(int64_t time) {
  for (int32_t& each : times_) {
    if (each > time) each = 0;
  }
  while (!times_.empty() && times_.back() == 0) times_.pop_back();
}

void EvictionTimes::read(ByteReader& in, std::span<const int64_t> plans) {
  times_ = in.list<int32_t>();
  for (size_t i = 0; i < times_.size(); ++i) {
    const int64_t time = times_[i];
    if (time == 0) continue;
    in.require(time > static_cast<int64_t>(i) && std::ranges::binary_search(plans, time),
               "a token was evicted when nothing was planned");
  }
}

}  // namespace dms::cache
