#include "kernels/kv_page.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace dms::kernels {
namespace {

constexpr int64_t kWordBytes = 4;
constexpr int64_t kKeyWordStride = kPageTokens * kWordBytes;

/// Byte offset of channel 0 of a token's key; its other words follow kPageTokens words apart.
int64_t key_offset(int64_t slot) { return slot * kWordBytes; }

/// Byte offset of channel 0 of a token's value; its other elements follow one word apart.
int64_t value_offset(const KvPageLayout& layout, int64_t slot) {
  const int64_t bytes = dtype_bytes(layout.type);
  const int64_t pack = kWordBytes / bytes;
  return layout.value_offset_bytes() + slot / pack * layout.head_dim_padded() * kWordBytes +
         slot % pack * bytes;
}

/// Writes one token, converted by `convert` to the page's elements.
template <class Convert>
void write_token(const KvPageLayout& layout,
                 std::span<std::byte> page,
                 int64_t slot,
                 const float* key,
                 const float* value,
                 Convert convert) {
  using Element = decltype(convert(0.0f));
  constexpr int64_t kPack = kWordBytes / static_cast<int64_t>(sizeof(Element));
  std::byte* keys = page.data() + key_offset(slot);
  std::byte* values = page.data() + value_offset(layout, slot);
  for (int64_t c = 0; c < layout.head_dim; ++c) {
    const Element k = convert(key[c]);
    const Element v = convert(value[c]);
    const int64_t part = c % kPack * static_cast<int64_t>(sizeof(Element));
    std::memcpy(keys + c / kPack * kKeyWordStride + part, &k, sizeof k);
    std::memcpy(values + c * kWordBytes, &v, sizeof v);
  }
}

template <class Element, class Convert>
void read_token(const KvPageLayout& layout,
                std::span<const std::byte> page,
                int64_t slot,
                float* key,
                float* value,
                Convert convert) {
  constexpr int64_t kPack = kWordBytes / static_cast<int64_t>(sizeof(Element));
  const std::byte* keys = page.data() + key_offset(slot);
  const std::byte* values = page.data() + value_offset(layout, slot);
  for (int64_t c = 0; c < layout.head_dim; ++c) {
    Element k;
    Element v;
    const int64_t part = c % kPack * static_cast<int64_t>(sizeof(Element));
    std::memcpy(&k, keys + c / kPack * kKeyWordStride + part, sizeof k);
    std::memcpy(&v, values + c * kWordBytes, sizeof v);
    key[c] = convert(k);
    value[c] = convert(v);
  }
}

void check_page(const KvPageLayout& layout, size_t page_bytes, int64_t slot) {
  ensure(layout.type == DType::f32 || layout.type == DType::bf16, "a page of an unknown type");
  ensure(page_bytes >= static_cast<size_t>(layout.bytes()), "a page shorter than its layout");
  ensure(slot >= 0 && slot < kPageTokens, "a slot beyond the page");
}

void zero(const KvPageLayout& layout, std::span<std::byte> page) {
  std::memset(page.data(), 0, static_cast<size_t>(layout.bytes()));
}

}  // namespace

void store_tokens(const KvPageLayout& layout,
                  std::span<std::byte> page,
                  int64_t first_slot,
                  const TokenRows& tokens) {
  if (tokens.count == 0) return;
  check_page(layout, page.size(), first_slot);
  ensure(tokens.count > 0 && first_slot + tokens.count <= kPageTokens, "tokens beyond the page");
  const int64_t floats = (tokens.count - 1) * tokens.token_stride + layout.head_dim;
  ensure(std::min(std::ssize(tokens.keys), std::ssize(tokens.values)) >= floats,
         "fewer keys or values than tokens");
  if (first_slot == 0) zero(layout, page);
  for (int64_t i = 0; i < tokens.count; ++i) {
    const auto offset = static_cast<size_t>(i * tokens.token_stride);
    const float* key = tokens.keys.data() + offset;
    const float* value = tokens.values.data() + offset;
    if (layout.type == DType::f32) {
      write_token(layout, page, first_slot + i, key, value, [](float x) { return x; });
    } else {
      write_token(
          layout, page, first_slot + i, key, value, [](float x) { return to_bf16(x).bits; });
    }
  }
}

void store_token(const KvPageLayout& layout,
                 std::span<std::byte> page,
                 int64_t slot,
                 std::span<const float> key,
                 std::span<const float> value) {
  store_tokens(layout,
               page,
               slot,
               {.keys = key, .values = value, .token_stride = layout.head_dim, .count = 1});
}

void load_token(const KvPageLayout& layout,
                std::span<const std::byte> page,
                int64_t slot,
                std::span<float> key,
                std::span<float> value) {
  check_page(layout, page.size(), slot);
  ensure(std::min(std::ssize(key), std::ssize(value)) >= layout.head_dim, "no room for a token");
  if (layout.type == DType::f32) {
    read_token<float>(layout, page, slot, key.data(), value.data(), [](float x) { return x; });
  } else {
    read_token<uint16_t>(layout, page, slot, key.data(), value.data(), [](uint16_t bits) {
      return to_float(BFloat16{bits});
    });
  }
}

void copy_token(const KvPageLayout& layout,
                std::span<const std::byte> from,
                int64_t from_slot,
                std::span<std::byte> to,
                int64_t to_slot) {
  check_page(layout, from.size(), from_slot);
  check_page(layout, to.size(), to_slot);
  if (to_slot == 0) zero(layout, to);
  const int64_t bytes = dtype_bytes(layout.type);
  const int64_t key_words = layout.head_dim_padded() * bytes / kWordBytes;
  const std::byte* source_key = from.data() + key_offset(from_slot);
  std::byte* target_key = to.data() + key_offset(to_slot);
  for (int64_t w = 0; w < key_words; ++w) {
    std::memcpy(target_key + w * kKeyWordStride, source_key + w * kKeyWordStride, kWordBytes);
  }
  const std::byte* source_value = from.data() + value_offset(layout, from_slot);
  std::byte* target_value = to.data() + value_offset(layout, to_slot);
  for (int64_t c = 0; c < layout.head_dim; ++c) {
    std::memcpy(
        target_value + c * kWordBytes, source_value + c * kWordBytes, static_cast<size_t>(bytes));
  }
}

}  // namespace dms::kernels
