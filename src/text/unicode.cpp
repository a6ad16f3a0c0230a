#include "text/unicode.h"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>
#include <unordered_map>

#include "base/utf8.h"

namespace dms::text {
namespace {

constexpr uint32_t kLimit = 0x110000;
constexpr std::array<std::string_view, 30> kCategoryNames = {
    "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe",
    "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn"};

/// Categories, as kCategoryNames has them.
enum Category : uint16_t { kLt = 2, kLm = 3, kMn = 5, kMe = 7, kSk = 20, kCf = 26 };

bool is_listed(std::span<const CodePointRange> list, uint32_t point) {
  return std::ranges::any_of(list, [point](const CodePointRange& range) {
    return point >= range.first && point <= range.last;
  });
}

/// Unicode's Case_Ignorable.
bool is_case_ignorable(uint32_t point) {
  // Marks within words and numbers.
  static constexpr std::array kOthers{CodePointRange{0x27, 0x27},
                                      CodePointRange{0x2E, 0x2E},
                                      CodePointRange{0x3A, 0x3A},
                                      CodePointRange{0xB7, 0xB7},
                                      CodePointRange{0x387, 0x387},
                                      CodePointRange{0x55F, 0x55F},
                                      CodePointRange{0x5F4, 0x5F4},
                                      CodePointRange{0x2018, 0x2019},
                                      CodePointRange{0x2024, 0x2024},
                                      CodePointRange{0x2027, 0x2027},
                                      CodePointRange{0xFE13, 0xFE13},
                                      CodePointRange{0xFE52, 0xFE52},
                                      CodePointRange{0xFE55, 0xFE55},
                                      CodePointRange{0xFF07, 0xFF07},
                                      CodePointRange{0xFF0E, 0xFF0E},
                                      CodePointRange{0xFF1A, 0xFF1A}};
  const auto category = static_cast<uint16_t>(code_point_bits()[point] & kCategoryMask);
  const bool is_by_category =
      category == kMn || category == kMe || category == kCf || category == kLm || category == kSk;
  return is_by_category || is_listed(kOthers, point);
}

/// Unicode's Cased, of those that are not Case_Ignorable.
bool is_cased(uint32_t point) {
  // Ordinals, Roman numerals, letters in circles and squares.
  static constexpr std::array kOthers{CodePointRange{0xAA, 0xAA},
                                      CodePointRange{0xBA, 0xBA},
                                      CodePointRange{0x2160, 0x217F},
                                      CodePointRange{0x24B6, 0x24E9},
                                      CodePointRange{0x1F130, 0x1F149},
                                      CodePointRange{0x1F150, 0x1F169},
                                      CodePointRange{0x1F170, 0x1F189}};
  return (code_point_bits()[point] & kCategoryMask) <= kLt || is_listed(kOthers, point);
}

/// Whether the next code point before `end` that counts is cased.
bool is_cased_before(std::string_view text, size_t end) {
  while (end > 0) {
    const CodePoint point = code_point_before(text, end);
    if (!is_case_ignorable(point.value)) return is_cased(point.value);
    end -= static_cast<size_t>(point.bytes);
  }
  return false;
}

bool is_cased_after(std::string_view text, size_t begin) {
  while (begin < text.size()) {
    const CodePoint point = code_point_at(text, begin);
    if (!is_case_ignorable(point.value)) return is_cased(point.value);
    begin += static_cast<size_t>(point.bytes);
  }
  return false;
}

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

std::string to_lowercase_in_words(std::string_view text) {
  constexpr std::string_view kCapital = "\u03a3";
  constexpr std::string_view kFinal = "\u03c2";
  std::string out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t sigma = std::min(text.find(kCapital, begin), text.size());
    const size_t end = std::min(sigma + kCapital.size(), text.size());
    if (sigma < text.size() && is_cased_before(text, sigma) && !is_cased_after(text, end)) {
      out += to_lowercase(text.substr(begin, sigma - begin));
      out += kFinal;
    } else {
      out += to_lowercase(text.substr(begin, end - begin));
    }
    begin = end;
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
