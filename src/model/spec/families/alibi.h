#pragma once
// Slopes of ALiBi for any number of heads. Where that is no power of two, families differ in which
// slopes of the next one they take.

#include <cstdint>
#include <vector>

namespace dms::families {

/// 2^(-8 k / n) of the power n below, then every other one of 2n (Press et al. 2022; Falcon).
std::vector<double> falcon_slopes(int64_t heads);

/// 2^(-bias_max k / n) of the power n above: the second, fourth, ..., then the first, third, ...
std::vector<double> mpt_slopes(int64_t heads, double bias_max);

}  // namespace dms::families
