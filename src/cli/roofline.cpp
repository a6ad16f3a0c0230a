#include "cli/roofline.h"

#include <algorithm>

namespace dms::cli {

double visible_keys(int64_t context, int64_t tokens, const Visibility& visibility) {
  double sum = 0;
  for (int64_t t = context; t < context + tokens; ++t) {
    const int64_t near = std::min(t, visibility.window_tokens) + 1;
    sum += static_cast<double>(near) + visibility.keep * static_cast<double>(t + 1 - near);
  }
  return sum;
}

int64_t body_parameters(const ModelInfo& info) {
  const int64_t table = info.vocab * info.hidden;
  return info.parameters - (info.tied_head ? table : 2 * table);
}

WeightBytes weight_bytes_each(const ModelInfo& info) {
  constexpr double kInt8 = 1 + 2.0 / 32;  // a group of 32 has a scale of two bytes
  constexpr double kInt4 = 0.5 + 2.0 / 32;
  if (info.weights == "int4") return {.body = kInt4, .table = kInt8};
  if (info.weights == "int8") return {.body = kInt8, .table = kInt8};
  return info.weights == "f32" ? WeightBytes{4, 4} : WeightBytes{2, 2};
}

double weight_bytes(const ModelInfo& info) {
  const WeightBytes each = weight_bytes_each(info);
  const int64_t body = body_parameters(info);
  return each.body * static_cast<double>(body) +
         each.table * static_cast<double>(info.parameters - body);
}

double decode_weight_bytes(const ModelInfo& info) {
  const WeightBytes each = weight_bytes_each(info);
  return each.body * static_cast<double>(body_parameters(info)) +
         each.table * static_cast<double>(info.vocab * info.hidden);
}

PrefillFlops prefill_flops(const ModelInfo& info,
                           int64_t context,
                           int64_t tokens,
                           const Visibility& visibility) {
  const double body =
      2.0 * static_cast<double>(body_parameters(info)) * static_cast<double>(tokens);
  const double head = 2.0 * static_cast<double>(info.vocab * info.hidden);
  const double per_key = 4.0 * static_cast<double>(info.layers * info.q_heads * info.head_dim);
  return {.products = body + head,
          .attention = per_key * visible_keys(context, tokens, visibility)};
}

double kept_share(const ModelInfo& info,
                  int64_t tokens,
                  int64_t held_tokens,
                  int64_t window_tokens) {
  const int64_t older = tokens - std::min(tokens, window_tokens + 1);
  if (older == 0) return 1.0;
  const double held_per_head =
      static_cast<double>(held_tokens) / static_cast<double>(info.layers * info.kv_heads);
  const double held_older = held_per_head - static_cast<double>(window_tokens + 1);
  return std::clamp(held_older / static_cast<double>(older), 0.0, 1.0);
}

}  // namespace dms::cli
