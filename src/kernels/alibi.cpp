#include "kernels/alibi.h"

#include "base/check.h"
#include "base/dtype.h"

namespace dms::kernels {
namespace {

float rounded(float value) { return to_float(to_bf16(value)); }

float rounded_product(float slope, int64_t position) {
  return rounded(slope * rounded(static_cast<float>(position)));
}

}  // namespace

float alibi_bias(const Alibi& alibi, int64_t head, int64_t position, int64_t origin) {
  const float slope = alibi.slopes[static_cast<size_t>(head)];
  if (!alibi.bf16_products) return slope * static_cast<float>(position - origin);
  return rounded_product(slope, position) - rounded_product(slope, origin);
}

void alibi_biases(const Alibi& alibi,
                  int64_t head,
                  int64_t origin,
                  std::span<const int32_t> positions,
                  std::span<float> out) {
  ensure(positions.size() == out.size(), "a bias for each position");
  for (size_t i = 0; i < positions.size(); ++i) {
    out[i] = alibi_bias(alibi, head, positions[i], origin);
  }
}

std::vector<float> group_alibi_biases(const Alibi& alibi,
                                      int64_t first_head,
                                      int64_t group,
                                      int64_t origin,
                                      std::span<const int32_t> positions) {
  if (!alibi.is_used()) return {};
  std::vector<float> all(static_cast<size_t>(group) * positions.size());
  for (int64_t i = 0; i < group; ++i) {
    alibi_biases(
        alibi,
        first_head + i,
        origin,
        positions,
        std::span(all).subspan(static_cast<size_t>(i) * positions.size(), positions.size()));
  }
  return all;
}

}  // namespace dms::kernels
