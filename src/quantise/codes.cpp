#include "quantise/codes.h"

#include <algorithm>

#include "base/check.h"
#include "base/parallel.h"

namespace dms::quantise {
namespace {

/// The quantiser searches the scales of as many rows side by side as a vector has lanes.
constexpr int64_t kRowsAtOnce = 32;

}  // namespace

kernels::QuantisedRowsBuffer quantise(kernels::WeightFormat format,
                                      int64_t columns,
                                      std::span<const float> rows,
                                      const FeedbackRounding* rounding) {
  const int64_t count = std::ssize(rows) / columns;
  const int64_t groups = columns / kernels::kQuantGroup;
  kernels::QuantisedRowsBuffer all;
  all.format = format;
  all.codes.resize(rows.size());
  all.scales.resize(static_cast<size_t>(count * groups));
  const kernels::QuantiseOptions how{.importance = rounding ? rounding->importance()
                                                            : std::span<const float>()};
  parallel_for(ceil_div(count, kRowsAtOnce), 1, [&](int64_t block) {
    const int64_t first = block * kRowsAtOnce;
    const int64_t taken = std::min(kRowsAtOnce, count - first);
    const kernels::QuantisedRowsBuffer some = kernels::quantise_rows(
        format,
        how,
        columns,
        rows.subspan(static_cast<size_t>(first * columns), static_cast<size_t>(taken * columns)));
    std::ranges::copy(some.codes, all.codes.begin() + first * columns);
    std::ranges::copy(some.scales, all.scales.begin() + first * groups);
  });
  if (rounding) rounding->round(rows, all);
  return all;
}

std::vector<std::byte> pack_codes(std::span<const uint8_t> codes, int64_t bits) {
  const size_t per_byte = bits == 4 ? 2 : 1;
  std::vector<std::byte> packed(codes.size() / per_byte);
  for (size_t i = 0; i < packed.size(); ++i) {
    const uint8_t low = codes[i * per_byte];
    const uint8_t high = per_byte == 2 ? codes[i * 2 + 1] : 0;
    packed[i] = static_cast<std::byte>(low | high << 4);
  }
  return packed;
}

}  // namespace dms::quantise
