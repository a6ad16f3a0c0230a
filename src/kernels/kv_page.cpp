#include "kernels/kv_page.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"
#include "kernels/kv_format_table.h"

namespace dms::kernels {
namespace {

/// A slot that is only read may come from a page that is const.
SideSlot slot_at(const KvPageLayout& layout,
                 Side side,
                 std::span<const std::byte> page,
                 int64_t slot) {
  ensure(page.size() >= static_cast<size_t>(layout.bytes()), "a page shorter than its layout");
  ensure(slot >= 0 && slot < kPageTokens, "a slot beyond the page");
  const PageSide place = side_of(layout, side);
  auto* data = const_cast<std::byte*>(page.data());
  return {.data = data + place.offset,
          .scales = data + place.scale_offset,
          .side = side,
          .slot = slot,
          .head_dim = layout.head_dim,
          .head_dim_padded = layout.head_dim_padded()};
}

const KvFormatRow& row_of(const KvPageLayout& layout, Side side) {
  return format_row(side == Side::keys ? layout.format.keys : layout.format.values);
}

/// Bytes of a side's elements or codes, without its scales: of 32 tokens.
int64_t code_bytes(const KvPageLayout& layout, Side side) {
  return kPageTokens / 8 * layout.head_dim_padded() * row_of(layout, side).bits;
}

int64_t side_bytes(const KvPageLayout& layout, Side side) {
  const int64_t scales = row_of(layout, side).has_scales() ? kPageTokens : 0;
  return code_bytes(layout, side) + scales * static_cast<int64_t>(sizeof(uint16_t));
}

void zero(const KvPageLayout& layout, std::span<std::byte> page) {
  std::memset(page.data(), 0, static_cast<size_t>(layout.bytes()));
}

}  // namespace

int64_t KvPageLayout::head_dim_padded() const {
  const int64_t multiple = std::max(format_row(format.keys).channel_multiple,
                                    format_row(format.values).channel_multiple);
  return (head_dim + multiple - 1) / multiple * multiple;
}

int64_t KvPageLayout::bytes() const {
  return side_bytes(*this, Side::keys) + side_bytes(*this, Side::values);
}

PageSide side_of(const KvPageLayout& layout, Side side) {
  const KvFormatRow& row = row_of(layout, side);
  const int64_t offset = side == Side::keys ? 0 : side_bytes(layout, Side::keys);
  const auto codes_per_word = static_cast<uint32_t>(16 / row.bits);
  const int shrink = row.has_scales() ? static_cast<int>(std::bit_width(codes_per_word)) - 1 : 0;
  return {.codes = row.codes,
          .points = row.points,
          .offset = offset,
          .scale_offset = offset + code_bytes(layout, side),
          .shrink = shrink};
}

void store_tokens(const KvPageLayout& layout,
                  std::span<std::byte> page,
                  int64_t first_slot,
                  const TokenRows& tokens) {
  if (tokens.count == 0) return;
  SideSlot keys = slot_at(layout, Side::keys, page, first_slot);
  SideSlot values = slot_at(layout, Side::values, page, first_slot);
  ensure(tokens.count > 0 && first_slot + tokens.count <= kPageTokens, "tokens beyond the page");
  const int64_t floats = (tokens.count - 1) * tokens.token_stride + layout.head_dim;
  ensure(std::min(std::ssize(tokens.keys), std::ssize(tokens.values)) >= floats,
         "fewer keys or values than tokens");
  if (first_slot == 0) zero(layout, page);
  for (int64_t i = 0; i < tokens.count; ++i, ++keys.slot, ++values.slot) {
    const auto offset = static_cast<size_t>(i * tokens.token_stride);
    row_of(layout, Side::keys).encode(keys, tokens.keys.data() + offset);
    row_of(layout, Side::values).encode(values, tokens.values.data() + offset);
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
  row_of(layout, Side::keys).decode(slot_at(layout, Side::keys, page, slot), key.data());
  row_of(layout, Side::values).decode(slot_at(layout, Side::values, page, slot), value.data());
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
  for (const Side side : {Side::keys, Side::values}) {
    row_of(layout, side)
        .copy(slot_at(layout, side, from, from_slot), slot_at(layout, side, to, to_slot));
  }
}

}  // namespace dms::kernels
