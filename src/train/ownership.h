#pragma once
// Which rank keeps what goes with a weight.

#include <cstdint>
#include <span>
#include <vector>

namespace dms::train {

/// The owner of each weight, of its number of values and the number of ranks: the largest weights
/// first, each to the rank that has least. The same on every rank.
std::vector<int64_t> share_out(std::span<const int64_t> values, int64_t ranks);

}  // namespace dms::train
