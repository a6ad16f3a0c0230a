#pragma once
// How the keys and values of a page are stored: one row of a table each (kv_format_table.h).

#include <optional>
#include <span>
#include <string_view>

namespace dms::kernels {

enum class KvFormat {
  f32,
  bf16,
  int8,  // symmetric, one scale per token, head and side: x ~ scale * integer in [-127, 127]
};

std::span<const KvFormat> kv_formats();
std::string_view kv_format_name(KvFormat format);
std::optional<KvFormat> parse_kv_format(std::string_view name);

}  // namespace dms::kernels
