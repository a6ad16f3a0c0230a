#pragma once
// What each format of a page's side provides. A new one is a row in kv_format.cpp, a file with its
// two functions, and where its codes are of a new kind, their expansion in each instruction set.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernels/attention_table.h"
#include "kernels/kv_format.h"
#include "kernels/kv_page.h"

namespace dms::kernels {

enum class Side { keys, values };

/// One token in one side of a page that has room for `head_dim` channels and some padding.
struct SideSlot {
  std::byte* data = nullptr;    // where the side's elements or codes begin
  std::byte* scales = nullptr;  // [32] bf16, where the format has scales
  Side side = Side::keys;
  int64_t slot = 0;
  int64_t head_dim = 0;
  int64_t head_dim_padded = 0;
};

struct KvFormatRow {
  KvFormat format;
  std::string_view name;
  int64_t bits;              // of a channel, scales not counted
  int64_t channel_multiple;  // what head_dim is rounded up to
  CodeKind codes = CodeKind::none;
  const uint16_t* points = nullptr;  // what codes stand for, where they are indices
  bool is_rotated = false;
  /// `x`: [head_dim].
  void (*encode)(const SideSlot& to, const float* x);
  void (*decode)(const SideSlot& from, float* x);
  /// Bit for bit; the slots may lie in one page.
  void (*copy)(const SideSlot& from, const SideSlot& to);

  bool has_scales() const { return codes != CodeKind::none; }
};

const KvFormatRow& format_row(KvFormat format);

/// Where a side lies in its page.
PageSide side_of(const KvPageLayout& layout, Side side);

extern const KvFormatRow kFormatF32;
extern const KvFormatRow kFormatBf16;
extern const KvFormatRow kFormatInt8;
extern const KvFormatRow kFormatFp8;
extern const KvFormatRow kFormatInt4;
extern const KvFormatRow kFormatLloyd4;
extern const KvFormatRow kFormatHiggs4;
extern const KvFormatRow kFormatHiggs3;
extern const KvFormatRow kFormatHiggs2;

}  // namespace dms::kernels
