#include "kernels/kv_format.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "kernels/kv_format_table.h"

namespace dms::kernels {
namespace {

/// In the order of the enumeration.
constexpr std::array<const KvFormatRow*, 9> kFormats{&kFormatF32,
                                                     &kFormatBf16,
                                                     &kFormatInt8,
                                                     &kFormatFp8,
                                                     &kFormatInt4,
                                                     &kFormatLloyd4,
                                                     &kFormatHiggs4,
                                                     &kFormatHiggs3,
                                                     &kFormatHiggs2};
constexpr std::array kNames{KvFormat::f32,
                            KvFormat::bf16,
                            KvFormat::int8,
                            KvFormat::fp8,
                            KvFormat::int4,
                            KvFormat::lloyd4,
                            KvFormat::higgs4,
                            KvFormat::higgs3,
                            KvFormat::higgs2};

/// "k=NAME" or "v=NAME" into its side, which must not have been given.
bool read_side(std::string_view text,
               std::optional<KvFormat>& keys,
               std::optional<KvFormat>& values) {
  std::optional<KvFormat>& side = text.starts_with("k=") ? keys : values;
  if (!(text.starts_with("k=") || text.starts_with("v=")) || side) return false;
  side = parse_kv_format(text.substr(2));
  return side.has_value();
}

}  // namespace

std::span<const KvFormat> kv_formats() { return kNames; }

const KvFormatRow& format_row(KvFormat format) {
  const auto index = static_cast<size_t>(format);
  ensure(index < kFormats.size() && kFormats[index]->format == format, "an unknown page format");
  return *kFormats[index];
}

std::string_view kv_format_name(KvFormat format) { return format_row(format).name; }

std::optional<KvFormat> parse_kv_format(std::string_view name) {
  const auto* found = std::ranges::find(kNames, name, kv_format_name);
  return found == kNames.end() ? std::nullopt : std::optional(*found);
}

std::string page_format_name(const PageFormat& format) {
  const std::string keys(kv_format_name(format.keys));
  if (format.keys == format.values) return keys;
  return "k=" + keys + ",v=" + std::string(kv_format_name(format.values));
}

std::optional<PageFormat> parse_page_format(std::string_view text, const PageFormat& otherwise) {
  if (const auto both = parse_kv_format(text)) return PageFormat(*both);
  std::optional<KvFormat> keys;
  std::optional<KvFormat> values;
  const size_t comma = std::min(text.find(','), text.size());
  if (!read_side(text.substr(0, comma), keys, values)) return std::nullopt;
  if (comma < text.size() && !read_side(text.substr(comma + 1), keys, values)) return std::nullopt;
  const PageFormat format(keys.value_or(otherwise.keys), values.value_or(otherwise.values));
  if ((format.keys == KvFormat::f32) != (format.values == KvFormat::f32)) return std::nullopt;
  return format;
}

}  // namespace dms::kernels
