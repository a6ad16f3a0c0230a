// Attention in plain C++: the definition the tuned versions are compared with. One
// query row at a time, one page at a time, every sum in ascending order.

#include "kernels/attention_table.h"

namespace dms::kernels {
namespace {

constexpr int64_t kTokens = 32;
constexpr float kNoScore = -__builtin_huge_valf();

uint16_t bf16_bits(float value) {
  uint32_t bits = 0;
  __builtin_memcpy(&bits, &value, sizeof bits);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

float bf16_value(uint16_t stored) {
  const uint32_t bits = static_cast<uint32_t>(stored) << 16;
  float value = 0;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

/// Pages of float32: one channel and one token a word.
struct F32 {
  using Element = float;
  static constexpr int64_t kPack = 1;
  static float load(Element stored) { return stored; }
  static float round(float value) { return value; }
};

/// Pages of bf16: neighbouring channels (keys) or tokens (values) share a 32-bit word.
struct Bf16 {
  using Element = uint16_t;
  static constexpr int64_t kPack = 2;
  static float load(Element stored) { return bf16_value(stored); }
  static float round(float value) { return bf16_value(bf16_bits(value)); }
};

#include "kernels/cpu/expand.inc.h"
#include "kernels/cpu/hadamard.inc.h"

template <class Type>
int64_t key_index(int64_t channel, int64_t slot) {
  return (channel / Type::kPack * kTokens + slot) * Type::kPack + channel % Type::kPack;
}

template <class Type>
int64_t value_index(int64_t channel, int64_t slot, int64_t head_dim_padded) {
  return (slot / Type::kPack * head_dim_padded + channel) * Type::kPack + slot % Type::kPack;
}

struct Row {
  float max = kNoScore;
  float sum = 0;
  float* output = nullptr;  // [head_dim]
};

template <class Type>
float dot_key(const AttendCall& call,
              const typename Type::Element* keys,
              const float* q,
              int64_t slot) {
  float dot = 0;
  for (int64_t c = 0; c < call.head_dim; ++c) {
    dot += Type::round(q[c]) * Type::load(keys[key_index<Type>(c, slot)]);
  }
  return dot;
}

/// What is added to q . k of a query row of the tile.
float bias(const AttendCall& call, const PageRef& page, int64_t row, int64_t slot) {
  if (page.biases == nullptr) return 0.0f;
  const float far = page.far && call.far_biases != nullptr ? call.far_biases[row] : 0.0f;
  return page.biases[row % call.group * kTokens + slot] + far;
}

/// The scale of a token's key or value, 1 where the side has none.
float token_scale(const PageSide& side, const std::byte* page, int64_t slot) {
  if (side.codes == CodeKind::none) return 1.0f;
  uint16_t bits = 0;
  __builtin_memcpy(&bits, page + side.scale_offset + slot * 2, sizeof bits);
  return bf16_value(bits);
}

/// A side's elements: those in the page, or its codes expanded into `words`.
template <class Type>
const typename Type::Element* elements(const AttendCall& call,
                                       const PageSide& side,
                                       int64_t pair_distance,
                                       const std::byte* page,
                                       void* words) {
  if (side.codes == CodeKind::none) {
    return reinterpret_cast<const typename Type::Element*>(page + side.offset);
  }
  expand_plainly(side.codes,
                 {.codes = reinterpret_cast<const char*>(page + side.offset),
                  .vectors = call.head_dim_padded,
                  .pair_distance = pair_distance,
                  .points = side.points,
                  .words = static_cast<uint16_t*>(words)});
  return static_cast<const typename Type::Element*>(words);
}

float capped(const AttendCall& call, float score) {
  return call.soft_cap > 0 ? call.soft_cap * __builtin_tanhf(score / call.soft_cap) : score;
}

/// Brings the row's sums to a new, larger maximum.
void raise_max(Row& row, float max, int64_t head_dim) {
  if (max <= row.max) return;
  const float factor = __builtin_expf(row.max - max);
  row.sum *= factor;
  for (int64_t c = 0; c < head_dim; ++c) row.output[c] *= factor;
  row.max = max;
}

template <class Type>
void add_page(const AttendCall& call,
              const PageRef& ref,
              const float* q,
              uint32_t mask,
              int64_t index,
              Row& row) {
  const std::byte* page = ref.data;
  auto* words = static_cast<uint16_t*>(call.workspace);
  const auto* keys = elements<Type>(call, call.keys, 2, page, words);
  const auto* values =
      elements<Type>(call, call.values, 1, page, words + kTokens * call.head_dim_padded);
  float scores[kTokens];
  float max = kNoScore;
  for (int64_t j = 0; j < kTokens; ++j) {
    const bool is_seen = (mask >> j & 1u) != 0;
    const float dot = dot_key<Type>(call, keys, q, j) * token_scale(call.keys, page, j);
    scores[j] = is_seen ? capped(call, (dot + bias(call, ref, index, j)) * call.scale) : kNoScore;
    max = scores[j] > max ? scores[j] : max;
  }
  raise_max(row, max, call.head_dim);
  for (int64_t j = 0; j < kTokens; ++j) {
    if ((mask >> j & 1u) == 0) continue;
    const float exact = __builtin_expf(scores[j] - row.max);
    const float weight = Type::round(exact * token_scale(call.values, page, j));
    row.sum += call.values.codes == CodeKind::none ? weight : exact;
    for (int64_t c = 0; c < call.head_dim; ++c) {
      row.output[c] += weight * Type::load(values[value_index<Type>(c, j, call.head_dim_padded)]);
    }
  }
}

template <class Type>
void attend_row(const AttendCall& call, int64_t position, int64_t head) {
  const int64_t index = position * call.group + head;
  const int64_t q_offset = position * call.q_position_stride + head * call.head_dim;
  Row row{.output = call.output + index * call.head_dim};
  for (int64_t c = 0; c < call.head_dim; ++c) row.output[c] = 0;
  for (int64_t i = 0; i < call.page_count; ++i) {
    const PageRef& page = call.pages[i];
    const uint32_t mask = page.masks == nullptr ? ~uint32_t{0} : page.masks[position];
    if (mask == 0) continue;
    add_page<Type>(call, page, (page.far ? call.q_far : call.q) + q_offset, mask, index, row);
  }
  call.max[index] = row.max;
  call.sum[index] = row.sum;
}

template <class Type>
void attend(const AttendCall& call) {
  for (int64_t position = 0; position < call.positions; ++position) {
    for (int64_t head = 0; head < call.group; ++head) attend_row<Type>(call, position, head);
  }
}

}  // namespace

const AttentionTable kAttentionGeneric = {
    attend<F32>,
    attend<Bf16>,
    hadamard,
};

}  // namespace dms::kernels
