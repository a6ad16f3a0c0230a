#include "text/unicode.h"

#include <algorithm>
#include <array>
#include <string_view>

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
