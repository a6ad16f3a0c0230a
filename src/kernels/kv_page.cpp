#include "kernels/kv_page.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernels/attention_dispatch.h"

namespace dms::kernels {
namespace {

/// Calls `visit(page_byte, channel, is_value)` for each channel of a token, where page_byte is the
/// offset of its element.
template <class Visit>
void for_each_element(const KvPageLayout& layout, int64_t slot, Visit visit) {
  const int64_t bytes = dtype_bytes(layout.type);
  const int64_t pack = 4 / bytes;
  const int64_t values = layout.value_offset_bytes();
  const int64_t value_row =
      values + slot / pack * layout.head_dim_padded() * 4 + slot % pack * bytes;
  for (int64_t c = 0; c < layout.head_dim; ++c) {
    visit((c / pack * kPageTokens + slot) * 4 + c % pack * bytes, c, false);
    visit(value_row + c * 4, c, true);
  }
}

template <class T>
T read(std::span<const std::byte> page, int64_t offset) {
  T value;
  std::memcpy(&value, page.data() + offset, sizeof value);
  return value;
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
  const StoreCall call{.page = page.data(),
                       .first_slot = first_slot,
                       .count = tokens.count,
                       .head_dim = layout.head_dim,
                       .head_dim_padded = layout.head_dim_padded(),
                       .keys = tokens.keys.data(),
                       .values = tokens.values.data(),
                       .token_stride = tokens.token_stride};
  const AttentionTable& table = attention_table();
  (layout.type == DType::f32 ? table.store_tokens_f32 : table.store_tokens_bf16)(call);
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
  for_each_element(layout, slot, [&](int64_t offset, int64_t channel, bool is_value) {
    float& out = (is_value ? value : key)[static_cast<size_t>(channel)];
    out = layout.type == DType::f32 ? read<float>(page, offset)
                                    : to_float(BFloat16{read<uint16_t>(page, offset)});
  });
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
  const int64_t pack = 4 / bytes;
  const int64_t words = layout.head_dim_padded() / pack;
  for (int64_t w = 0; w < words; ++w) {
    const int64_t row = w * kPageTokens;
    std::memcpy(to.data() + (row + to_slot) * 4, from.data() + (row + from_slot) * 4, 4);
  }
  const auto value_row = [&](int64_t slot) {
    return layout.value_offset_bytes() + slot / pack * layout.head_dim_padded() * 4 +
           slot % pack * bytes;
  };
  const std::byte* source = from.data() + value_row(from_slot);
  std::byte* target = to.data() + value_row(to_slot);
  for (int64_t c = 0; c < layout.head_dim; ++c) {
    std::memcpy(target + c * 4, source + c * 4, static_cast<size_t>(bytes));
  }
}

}  // namespace dms::kernels
