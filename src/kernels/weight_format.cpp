#include "kernels/weight_format.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace dms::kernels {
namespace {

struct FormatRow {
  WeightFormat format;
  std::string_view name;
  int64_t bits;
  bool is_quantised;
};

/// In the order of the enumeration.
constexpr std::array kRows{FormatRow{WeightFormat::f32, "f32", 32, false},
                           FormatRow{WeightFormat::bf16, "bf16", 16, false},
                           FormatRow{WeightFormat::int8, "int8", 8, true},
                           FormatRow{WeightFormat::int4, "int4", 4, true}};
constexpr std::array kFormats{
    WeightFormat::f32, WeightFormat::bf16, WeightFormat::int8, WeightFormat::int4};

const FormatRow& row_of(WeightFormat format) {
  const auto index = static_cast<size_t>(format);
  ensure(index < kRows.size() && kRows[index].format == format, "an unknown format of weights");
  return kRows[index];
}

}  // namespace

std::span<const WeightFormat> weight_formats() { return kFormats; }

std::string_view weight_format_name(WeightFormat format) { return row_of(format).name; }

std::optional<WeightFormat> parse_weight_format(std::string_view name) {
  const auto* found = std::ranges::find(kFormats, name, weight_format_name);
  return found == kFormats.end() ? std::nullopt : std::optional(*found);
}

int64_t weight_bits(WeightFormat format) { return row_of(format).bits; }

bool is_quantised(WeightFormat format) { return row_of(format).is_quantised; }

int32_t zero_code(WeightFormat format) {
  ensure(is_quantised(format), "a code of a format without codes");
  return int32_t{1} << (weight_bits(format) - 1);
}

int32_t largest_code(WeightFormat format) { return 2 * zero_code(format) - 1; }

}  // namespace dms::kernels
