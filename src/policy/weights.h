#pragma once
// What several scores make of weights, one for each entry.

#include <cstdint>
#include <span>
#include <vector>

namespace dms::policy {

/// In place.
void softmax(std::span<double> x);

/// Means over kernel_size neighbours; those beyond the ends count as nothing.
std::vector<float> pooled(std::span<const float> x, int64_t kernel_size);

}  // namespace dms::policy
