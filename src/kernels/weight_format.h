#pragma once
// How a matrix of weights is stored: one row of a table each (weight_format.cpp). The quantised
// ones keep a scale for every kQuantGroup neighbouring inputs of an output (quantised_rows.h).

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace dms::kernels {

enum class WeightFormat { f32, bf16, int8, int4 };

/// Inputs of one output that share a scale, of weights and of activations alike.
inline constexpr int64_t kQuantGroup = 32;

std::span<const WeightFormat> weight_formats();
std::string_view weight_format_name(WeightFormat format);
std::optional<WeightFormat> parse_weight_format(std::string_view name);

/// Bits of one weight, without its share of a scale.
int64_t weight_bits(WeightFormat format);
/// Whether weights are integers under scales.
bool is_quantised(WeightFormat format);
/// The code that stands for zero where no minimum is stored. Quantised formats only.
int32_t zero_code(WeightFormat format);
/// The largest code. Quantised formats only.
int32_t largest_code(WeightFormat format);

}  // namespace dms::kernels
