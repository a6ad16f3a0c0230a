// Pages of int8: the elements in bf16's order, then a bf16 scale for each key and for each value.
// Rounded to the nearest integer, the error is at most scale / 2 (KIVI and others use finer groups;
// a token and head is what the kernel can apply to whole scores and weights).

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/dtype.h"
#include "kernels/kv_format_table.h"
#include "kernels/kv_page.h"

namespace dms::kernels {
namespace {

constexpr int64_t kPack = 2;
constexpr float kLargest = 127.0f;

int64_t elements(int64_t head_dim_padded) { return kPageTokens * head_dim_padded; }

std::byte* first_key(const PageSlot& at) { return at.page + at.slot * kPack; }

std::byte* first_value(const PageSlot& at) {
  return at.page + elements(at.head_dim_padded) + at.slot / kPack * at.head_dim_padded * kPack +
         at.slot % kPack;
}

int64_t key_offset(int64_t channel) {
  return channel / kPack * kPageTokens * kPack + channel % kPack;
}

std::byte* scale_at(const PageSlot& at, int64_t side) {
  return at.page + 2 * elements(at.head_dim_padded) +
         (side * kPageTokens + at.slot) * static_cast<int64_t>(sizeof(BFloat16));
}

BFloat16 read_scale(const PageSlot& at, int64_t side) {
  BFloat16 scale;
  std::memcpy(&scale, scale_at(at, side), sizeof scale);
  return scale;
}

void write_scale(const PageSlot& at, int64_t side, BFloat16 scale) {
  std::memcpy(scale_at(at, side), &scale, sizeof scale);
}

/// The smallest bf16 that brings all of `x` within the integers; NaN where something is not finite,
/// zero where all is too small for a number.
BFloat16 scale_of(const float* x, int64_t count) {
  float largest = 0.0f;
  bool is_finite = true;
  for (int64_t i = 0; i < count; ++i) {
    is_finite &= std::isfinite(x[i]);
    largest = std::max(largest, std::abs(x[i]));
  }
  if (!is_finite) return to_bf16(std::numeric_limits<float>::quiet_NaN());
  const float exact = largest / kLargest;
  if (exact < std::numeric_limits<float>::min()) return {};
  const uint32_t bits = std::bit_cast<uint32_t>(exact);
  return {static_cast<uint16_t>((bits + 0xffffu) >> 16)};
}

int8_t quantise(float x, float scale) {
  if (!(scale > 0.0f)) return 0;
  return static_cast<int8_t>(std::lrint(std::clamp(x / scale, -kLargest, kLargest)));
}

int64_t page_bytes(int64_t head_dim_padded) {
  return 2 * elements(head_dim_padded) + 2 * kPageTokens * static_cast<int64_t>(sizeof(BFloat16));
}

void encode(const PageSlot& to, const float* key, const float* value) {
  const BFloat16 key_scale = scale_of(key, to.head_dim);
  const BFloat16 value_scale = scale_of(value, to.head_dim);
  write_scale(to, 0, key_scale);
  write_scale(to, 1, value_scale);
  std::byte* keys = first_key(to);
  std::byte* values = first_value(to);
  for (int64_t c = 0; c < to.head_dim; ++c) {
    keys[key_offset(c)] = std::bit_cast<std::byte>(quantise(key[c], to_float(key_scale)));
    values[c * kPack] = std::bit_cast<std::byte>(quantise(value[c], to_float(value_scale)));
  }
}

void decode(const PageSlot& from, float* key, float* value) {
  const float key_scale = to_float(read_scale(from, 0));
  const float value_scale = to_float(read_scale(from, 1));
  const std::byte* keys = first_key(from);
  const std::byte* values = first_value(from);
  for (int64_t c = 0; c < from.head_dim; ++c) {
    key[c] = key_scale * std::bit_cast<int8_t>(keys[key_offset(c)]);
    value[c] = value_scale * std::bit_cast<int8_t>(values[c * kPack]);
  }
}

void copy(const PageSlot& from, const PageSlot& to) {
  for (const int64_t side : {0, 1}) write_scale(to, side, read_scale(from, side));
  const std::byte* source_key = first_key(from);
  std::byte* target_key = first_key(to);
  for (int64_t c = 0; c < from.head_dim; ++c) {
    target_key[key_offset(c)] = source_key[key_offset(c)];
  }
  const std::byte* source_value = first_value(from);
  std::byte* target_value = first_value(to);
  for (int64_t c = 0; c < from.head_dim; ++c) target_value[c * kPack] = source_value[c * kPack];
}

}  // namespace

const KvFormatRow kFormatInt8{.format = KvFormat::int8,
                              .name = "int8",
                              .page_bytes = page_bytes,
                              .encode = encode,
                              .decode = decode,
                              .copy = copy,
                              .attend = &AttentionTable::attend_int8};

}  // namespace dms::kernels
