#include "model/spec/families/alibi.h"

#include <bit>
#include <cmath>

namespace dms::families {
namespace {

/// 2^(-largest k / count) for k = first, first + step, ... up to count.
std::vector<double> powers(double largest, int64_t count, int64_t first, int64_t step) {
  std::vector<double> slopes;
  for (int64_t k = first; k <= count; k += step) {
    slopes.push_back(std::exp2(-largest * static_cast<double>(k) / static_cast<double>(count)));
  }
  return slopes;
}

void append(std::vector<double>& slopes, const std::vector<double>& more) {
  slopes.insert(slopes.end(), more.begin(), more.end());
}

}  // namespace

std::vector<double> falcon_slopes(int64_t heads) {
  constexpr double kLargest = 8.0;
  const auto below = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(heads)));
  std::vector<double> slopes = powers(kLargest, below, 1, 1);
  append(slopes, powers(kLargest, 2 * below, 1, 2));
  slopes.resize(static_cast<size_t>(heads));
  return slopes;
}

std::vector<double> mpt_slopes(int64_t heads, double bias_max) {
  const auto above = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(heads)));
  if (above == heads) return powers(bias_max, heads, 1, 1);
  std::vector<double> slopes = powers(bias_max, above, 2, 2);
  append(slopes, powers(bias_max, above, 1, 2));
  slopes.resize(static_cast<size_t>(heads));
  return slopes;
}

}  // namespace dms::families
