#pragma once
// What each format of pages provides. A new one is a row in kv_format.cpp, a file with its three
// functions, and its attention in each instruction set's table.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernels/attention_table.h"
#include "kernels/kv_format.h"

namespace dms::kernels {

/// One token of a page that has room for `head_dim` channels, rounded up to whole vectors.
struct PageSlot {
  std::byte* page = nullptr;
  int64_t slot = 0;
  int64_t head_dim = 0;
  int64_t head_dim_padded = 0;
};

struct KvFormatRow {
  KvFormat format;
  std::string_view name;
  int64_t (*page_bytes)(int64_t head_dim_padded);
  /// `key` and `value`: [head_dim].
  void (*encode)(const PageSlot& to, const float* key, const float* value);
  void (*decode)(const PageSlot& from, float* key, float* value);
  /// Bit for bit; the slots may lie in one page.
  void (*copy)(const PageSlot& from, const PageSlot& to);
  void (*AttentionTable::*attend)(const AttendCall&);
};

const KvFormatRow& format_row(KvFormat format);

extern const KvFormatRow kFormatF32;
extern const KvFormatRow kFormatBf16;
extern const KvFormatRow kFormatInt8;

}  // namespace dms::kernels
