#include "kernels/kv_format.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "kernels/kv_format_table.h"

namespace dms::kernels {
namespace {

/// In the order of the enumeration.
constexpr std::array<const KvFormatRow*, 3> kFormats{&kFormatF32, &kFormatBf16, &kFormatInt8};
constexpr std::array kNames{KvFormat::f32, KvFormat::bf16, KvFormat::int8};

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

}  // namespace dms::kernels
