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

/// Channel 0 of a token; its other channels follow as channel_offset() says.
template <class Type>
std::byte* first_channel(const SideSlot& at) {
  if (at.side == Side::keys) return at.data + at.slot * kWordBytes;
  return at.data + at.slot / kPack<Type> * at.head_dim_padded * kWordBytes +
         at.slot % kPack<Type> * kElementBytes<Type>;
}

template <class Type>
int64_t channel_offset(Side side, int64_t channel) {
  if (side == Side::values) return channel * kWordBytes;
  return channel / kPack<Type> * kKeyWordStride + channel % kPack<Type> * kElementBytes<Type>;
}

template <class Type>
void encode(const SideSlot& to, const float* x) {
  std::byte* elements = first_channel<Type>(to);
  for (int64_t c = 0; c < to.head_dim; ++c) {
    const auto element = Type::to(x[c]);
    std::memcpy(elements + channel_offset<Type>(to.side, c), &element, sizeof element);
  }
}

template <class Type>
void decode(const SideSlot& from, float* x) {
  const std::byte* elements = first_channel<Type>(from);
  for (int64_t c = 0; c < from.head_dim; ++c) {
    typename Type::Element element;
    std::memcpy(&element, elements + channel_offset<Type>(from.side, c), sizeof element);
    x[c] = Type::from(element);
  }
}

template <class Type>
void copy(const SideSlot& from, const SideSlot& to) {
  const std::byte* source = first_channel<Type>(from);
  std::byte* target = first_channel<Type>(to);
  for (int64_t c = 0; c < from.head_dim; ++c) {
    const int64_t offset = channel_offset<Type>(from.side, c);
    std::memcpy(target + offset, source + offset, static_cast<size_t>(kElementBytes<Type>));
  }
}

}  // namespace

const KvFormatRow kFormatF32{.format = KvFormat::f32,
                             .name = "f32",
                             .bits = 32,
                             .channel_multiple = 16,
                             .encode = encode<F32>,
                             .decode = decode<F32>,
                             .copy = copy<F32>};

const KvFormatRow kFormatBf16{.format = KvFormat::bf16,
                              .name = "bf16",
                              .bits = 16,
                              .channel_multiple = 16,
                              .encode = encode<Bf16>,
                              .decode = decode<Bf16>,
                              .copy = copy<Bf16>};

}  // namespace dms::kernels
