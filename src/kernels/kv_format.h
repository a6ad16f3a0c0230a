#pragma once
// How the keys and values of a page are stored: one row of a table each (kv_format_table.h). Keys
// and values of one page may have formats of their own.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace dms::kernels {

enum class KvFormat {
  f32,
  bf16,
  int8,    // symmetric, one scale per token, head and side: x ~ scale * integer in [-127, 127]
  fp8,     // E4M3 without subnormals, one scale likewise: the largest channel becomes 448
  int4,    // rotated (kv_rotation.h), then 16 levels at equal distances
  lloyd4,  // rotated, then the optimal 16 points for a normal variable
  higgs4,  // rotated, then the optimal 256 points for a pair of normal variables (HIGGS)
  higgs3,  // the same with 64 points
  higgs2,  // the same with 16 points
};

std::span<const KvFormat> kv_formats();
std::string_view kv_format_name(KvFormat format);
std::optional<KvFormat> parse_kv_format(std::string_view name);

/// The formats of a page's two sides. f32 stands on both or on none: the arithmetic differs.
struct PageFormat {
  KvFormat keys = KvFormat::bf16;
  KvFormat values = KvFormat::bf16;

  constexpr PageFormat() = default;
  constexpr PageFormat(KvFormat both) : keys(both), values(both) {}
  constexpr PageFormat(KvFormat of_keys, KvFormat of_values) : keys(of_keys), values(of_values) {}
  bool operator==(const PageFormat&) const = default;
};

/// "lloyd4", or "k=int8,v=lloyd4" where the sides differ.
std::string page_format_name(const PageFormat& format);
/// Reads either; empty where a name is unknown, a side is given twice or only one side is f32. A
/// side that is not named is as in `otherwise`.
std::optional<PageFormat> parse_page_format(std::string_view text, const PageFormat& otherwise);

}  // namespace dms::kernels
