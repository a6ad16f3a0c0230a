#include "train/ownership.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace dms::train {

std::vector<int64_t> share_out(std::span<const int64_t> values, int64_t ranks) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, std::greater{}, [&](size_t i) { return values[i]; });
  std::vector<int64_t> load(static_cast<size_t>(ranks), 0);
  std::vector<int64_t> owner(values.size());
  for (const size_t i : order) {
    const auto least = std::ranges::min_element(load);
    *least += values[i];
    owner[i] = least - load.begin();
  }
  return owner;
}

}  // namespace dms::train
