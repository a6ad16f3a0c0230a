#pragma once
// A matrix's weights as codes of 4 or 8 bits under scales of 32 inputs each, symmetric.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/quantise.h"
#include "quantise/feedback_rounding.h"

namespace dms::quantise {

/// `rows`: finite float32 [count, columns], columns a multiple of 32. `rounding`: or null, each
/// weight to the nearest code. Uses the caller's threads.
kernels::QuantisedRowsBuffer quantise(kernels::WeightFormat format,
                                      int64_t columns,
                                      std::span<const float> rows,
                                      const FeedbackRounding* rounding);

/// Codes side by side in bytes, the first one lowest; `bits`: 4 or 8, a whole number of bytes.
std::vector<std::byte> pack_codes(std::span<const uint8_t> codes, int64_t bits);

}  // namespace dms::quantise
