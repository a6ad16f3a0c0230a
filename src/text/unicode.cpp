#include "text/unicode.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_map>

#include "base/utf8.h"

namespace dms::text {
namespace {

constexpr uint32_t kLimit = 0x110000;
constexpr std::array<std::string_view, 30> kCategoryNames = {
    "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe",
    "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn"};

std::vector<uint16_t> expand_runs() {
  std::vector<uint16_t> bits(kLimit);
  const auto runs = code_point_runs();
  for (size_t i = 0; i < runs.size(); ++i) {
    const uint32_t end = i + 1 < runs.size() ? runs[i + 1].first : kLimit;
    std::fill(bits.begin() + runs[i].first, bits.begin() + end, runs[i].bits);
  }
  return bits;
}

template <class Predicate>
CodePointSet runs_where(const Predicate& holds) {
  CodePointSet set;
  const auto runs = code_point_runs();
  for (size_t i = 0; i < runs.size(); ++i) {
    if (!holds(runs[i].bits)) continue;
    const uint32_t end = i + 1 < runs.size() ? runs[i + 1].first : kLimit;
    set.push_back({runs[i].first, end - 1});
  }
  return normalized(std::move(set));
}

}  // namespace

const uint16_t* code_point_bits() {
  static const std::vector<uint16_t> bits = expand_runs();
  return bits.data();
}

std::string to_lowercase(std::string_view text) {
  constexpr uint32_t kDottedCapitalI = 0x130;  // the only one that becomes two
  static const auto lower = [] {
    std::unordered_map<uint32_t, uint32_t> map;
    for (const LowercaseMapping& item : lowercase_mappings()) {
      map.emplace(item.code_point, item.lower);
    }
    return map;
  }();
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const CodePoint next = code_point_at(text, at);
    at += static_cast<size_t>(next.bytes);
    if (next.value < 0x80) {
      const bool is_capital = next.value >= 'A' && next.value <= 'Z';
      out.push_back(static_cast<char>(is_capital ? next.value + 32 : next.value));
    } else if (next.value == kDottedCapitalI) {
      out += "i\u0307";
    } else {
      const auto it = lower.find(next.value);
      append_utf8(out, it == lower.end() ? next.value : it->second);
    }
  }
  return out;
}

std::optional<CodePointSet> category_set(std::string_view name) {
  if (name.empty() || name.size() > 2) return std::nullopt;
  const auto belongs = [&](std::string_view category) { return category.starts_with(name); };
  if (std::none_of(kCategoryNames.begin(), kCategoryNames.end(), belongs)) return std::nullopt;
  return runs_where([&](uint16_t bits) { return belongs(kCategoryNames[bits & kCategoryMask]); });
}

CodePointSet flag_set(uint16_t flag) {
  return runs_where([&](uint16_t bits) { return (bits & flag) != 0; });
}

CodePointSet complement(const CodePointSet& set) {
  CodePointSet with_surrogates = set;
  with_surrogates.push_back({0xD800, 0xDFFF});
  CodePointSet rest;
  uint32_t next = 0;
  for (const CodePointRange& range : normalized(std::move(with_surrogates))) {
    if (range.first > next) rest.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next < kLimit) rest.push_back({next, kLimit - 1});
  return rest;
}

CodePointSet normalized(CodePointSet set) {
  std::sort(set.begin(), set.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  CodePointSet joined;
  for (const CodePointRange& range : set) {
    if (!joined.empty() && range.first <= joined.back().last + 1) {
      joined.back().last = std::max(joined.back().last, range.last);
    } else {
      joined.push_back(range);
    }
  }
  return joined;
}

}  // namespace dms::text
