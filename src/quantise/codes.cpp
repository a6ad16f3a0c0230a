#include "quantise/codes.h"

#include <algorithm>

#include "base/parallel.h"

namespace dms::quantise {

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
  parallel_for(count, 1, [&](int64_t row) {
    const kernels::QuantisedRowsBuffer one = kernels::quantise_rows(
        format,
        how,
        columns,
        rows.subspan(static_cast<size_t>(row * columns), static_cast<size_t>(columns)));
    std::ranges::copy(one.codes, all.codes.begin() + row * columns);
    std::ranges::copy(one.scales, all.scales.begin() + row * groups);
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
