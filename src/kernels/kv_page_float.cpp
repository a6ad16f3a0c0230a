// Pages of float32 and bf16.

#include <cstring>

#include "base/dtype.h"
#include "kernels/kv_format_table.h"
#include "kernels/kv_page.h"

namespace dms::kernels {
namespace {

constexpr int64_t kWordBytes = 4;
constexpr int64_t kKeyWordStride = kPageTokens * kWordBytes;

struct F32 {
  using Element = float;
  static float to(float x) { return x; }
  static float from(float x) { return x; }
};

struct Bf16 {
  using Element = uint16_t;
  static uint16_t to(float x) { return to_bf16(x).bits; }
  static float from(uint16_t bits) { return to_float(BFloat16{bits}); }
};

template <class Type>
constexpr int64_t kElementBytes = static_cast<int64_t>(sizeof(typename Type::Element));
template <class Type>
constexpr int64_t kPack = kWordBytes / kElementBytes<Type>;

/// Channel 0 of a token's key; its other words follow kPageTokens words apart.
template <class Type>
std::byte* first_key(const PageSlot& at) {
  return at.page + at.slot * kWordBytes;
}

/// Channel 0 of a token's value; its other elements follow one word apart.
template <class Type>
std::byte* first_value(const PageSlot& at) {
  return at.page + kPageTokens * at.head_dim_padded * kElementBytes<Type> +
         at.slot / kPack<Type> * at.head_dim_padded * kWordBytes +
         at.slot % kPack<Type> * kElementBytes<Type>;
}

template <class Type>
int64_t key_offset(int64_t channel) {
  return channel / kPack<Type> * kKeyWordStride + channel % kPack<Type> * kElementBytes<Type>;
}

template <class Type>
int64_t page_bytes(int64_t head_dim_padded) {
  return 2 * kPageTokens * head_dim_padded * kElementBytes<Type>;
}

template <class Type>
void encode(const PageSlot& to, const float* key, const float* value) {
  std::byte* keys = first_key<Type>(to);
  std::byte* values = first_value<Type>(to);
  for (int64_t c = 0; c < to.head_dim; ++c) {
    const auto k = Type::to(key[c]);
    const auto v = Type::to(value[c]);
    std::memcpy(keys + key_offset<Type>(c), &k, sizeof k);
    std::memcpy(values + c * kWordBytes, &v, sizeof v);
  }
}

template <class Type>
void decode(const PageSlot& from, float* key, float* value) {
  const std::byte* keys = first_key<Type>(from);
  const std::byte* values = first_value<Type>(from);
  for (int64_t c = 0; c < from.head_dim; ++c) {
    typename Type::Element k;
    typename Type::Element v;
    std::memcpy(&k, keys + key_offset<Type>(c), sizeof k);
    std::memcpy(&v, values + c * kWordBytes, sizeof v);
    key[c] = Type::from(k);
    value[c] = Type::from(v);
  }
}

template <class Type>
void copy(const PageSlot& from, const PageSlot& to) {
  const std::byte* source_key = first_key<Type>(from);
  std::byte* target_key = first_key<Type>(to);
  for (int64_t w = 0; w < from.head_dim_padded / kPack<Type>; ++w) {
    std::memcpy(target_key + w * kKeyWordStride, source_key + w * kKeyWordStride, kWordBytes);
  }
  const std::byte* source_value = first_value<Type>(from);
  std::byte* target_value = first_value<Type>(to);
  for (int64_t c = 0; c < from.head_dim; ++c) {
    std::memcpy(target_value + c * kWordBytes,
                source_value + c * kWordBytes,
                static_cast<size_t>(kElementBytes<Type>));
  }
}

}  // namespace

const KvFormatRow kFormatF32{.format = KvFormat::f32,
                             .name = "f32",
                             .page_bytes = page_bytes<F32>,
                             .encode = encode<F32>,
                             .decode = decode<F32>,
                             .copy = copy<F32>,
                             .attend = &AttentionTable::attend_f32};

const KvFormatRow kFormatBf16{.format = KvFormat::bf16,
                              .name = "bf16",
                              .page_bytes = page_bytes<Bf16>,
                              .encode = encode<Bf16>,
                              .decode = decode<Bf16>,
                              .copy = copy<Bf16>,
                              .attend = &AttentionTable::attend_bf16};

}  // namespace dms::kernels
