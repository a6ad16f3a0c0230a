#include "kernels/kv_page.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernels/kv_format_table.h"

namespace dms::kernels {
namespace {

/// A slot that is only read may come from a page that is const.
PageSlot slot_at(const KvPageLayout& layout, std::span<const std::byte> page, int64_t slot) {
  ensure(page.size() >= static_cast<size_t>(layout.bytes()), "a page shorter than its layout");
  ensure(slot >= 0 && slot < kPageTokens, "a slot beyond the page");
  return {.page = const_cast<std::byte*>(page.data()),
          .slot = slot,
          .head_dim = layout.head_dim,
          .head_dim_padded = layout.head_dim_padded()};
}

void zero(const KvPageLayout& layout, std::span<std::byte> page) {
  std::memset(page.data(), 0, static_cast<size_t>(layout.bytes()));
}

}  // namespace

int64_t KvPageLayout::bytes() const { return format_row(format).page_bytes(head_dim_padded()); }

void store_tokens(const KvPageLayout& layout,
                  std::span<std::byte> page,
                  int64_t first_slot,
                  const TokenRows& tokens) {
  if (tokens.count == 0) return;
  PageSlot to = slot_at(layout, page, first_slot);
  ensure(tokens.count > 0 && first_slot + tokens.count <= kPageTokens, "tokens beyond the page");
  const int64_t floats = (tokens.count - 1) * tokens.token_stride + layout.head_dim;
  ensure(std::min(std::ssize(tokens.keys), std::ssize(tokens.values)) >= floats,
         "fewer keys or values than tokens");
  if (first_slot == 0) zero(layout, page);
  const KvFormatRow& row = format_row(layout.format);
  for (int64_t i = 0; i < tokens.count; ++i, ++to.slot) {
    const auto offset = static_cast<size_t>(i * tokens.token_stride);
    row.encode(to, tokens.keys.data() + offset, tokens.values.data() + offset);
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
  ensure(std::min(std::ssize(key), std::ssize(value)) >= layout.head_dim, "no room for a token");
  format_row(layout.format).decode(slot_at(layout, page, slot), key.data(), value.data());
}

void copy_token(const KvPageLayout& layout,
                std::span<const std::byte> from,
                int64_t from_slot,
                std::span<std::byte> to,
                int64_t to_slot) {
  if (to_slot == 0) zero(layout, to);
  overwrite_token(layout, from, from_slot, to, to_slot);
}

void overwrite_token(const KvPageLayout& layout,
                     std::span<const std::byte> from,
                     int64_t from_slot,
                     std::span<std::byte> to,
                     int64_t to_slot) {
  format_row(layout.format).copy(slot_at(layout, from, from_slot), slot_at(layout, to, to_slot));
}

}  // namespace dms::kernels
