#include "grammar/character_set.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

namespace dms::grammar {
namespace {

constexpr uint32_t kLastCharacter = 0x10ffff;

constexpr std::array<CharacterRange, 4> kPlainInJson{
    {{' ', '!'}, {'#', '['}, {']', 0xd7ff}, {0xe000, kLastCharacter}}};

/// Of an expression, within a class or outside of one.
std::string written(uint32_t character) {
  constexpr std::string_view kMarks = "^$.*+?()[]{}|/-\\";
  if (character < ' ' || character > '~') return fmt::format("\\u{{{:x}}}", character);
  const char c = static_cast<char>(character);
  return kMarks.find(c) == std::string_view::npos ? std::string(1, c) : std::string("\\") + c;
}

std::string written(const CharacterRange& range) {
  if (range.first == range.last) return written(range.first);
  return written(range.first) + "-" + written(range.last);
}

}  // namespace

CharacterSet::CharacterSet(std::span<const CharacterRange> ranges)
    : ranges_(ranges.begin(), ranges.end()) {
  std::ranges::sort(ranges_, {}, &CharacterRange::first);
  size_t kept = 0;
  for (const CharacterRange range : ranges_) {
    if (kept > 0 && range.first <= ranges_[kept - 1].last + 1) {
      ranges_[kept - 1].last = std::max(ranges_[kept - 1].last, range.last);
    } else {
      ranges_[kept++] = range;
    }
  }
  ranges_.resize(kept);
}

void CharacterSet::add(const CharacterSet& other) {
  std::vector<CharacterRange> all = ranges_;
  all.insert(all.end(), other.ranges_.begin(), other.ranges_.end());
  *this = CharacterSet(all);
}

CharacterSet CharacterSet::complement() const {
  CharacterSet out;
  uint32_t next = 0;
  for (const CharacterRange& range : ranges_) {
    if (range.first > next) out.ranges_.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kLastCharacter) out.ranges_.push_back({next, kLastCharacter});
  return out;
}

CharacterSet CharacterSet::of_either_case() const {
  constexpr uint32_t kToLower = 'a' - 'A';
  std::vector<CharacterRange> all = ranges_;
  for (const CharacterRange& range : ranges_) {
    const CharacterRange upper{std::max<uint32_t>(range.first, 'A'),
                               std::min<uint32_t>(range.last, 'Z')};
    const CharacterRange lower{std::max<uint32_t>(range.first, 'a'),
                               std::min<uint32_t>(range.last, 'z')};
    if (upper.first <= upper.last) all.push_back({upper.first + kToLower, upper.last + kToLower});
    if (lower.first <= lower.last) all.push_back({lower.first - kToLower, lower.last - kToLower});
  }
  return CharacterSet(all);
}

CharacterSet CharacterSet::plain_in_json() const {
  CharacterSet out;
  for (const CharacterRange& range : ranges_) {
    for (const CharacterRange& plain : kPlainInJson) {
      const CharacterRange both{std::max(range.first, plain.first),
                                std::min(range.last, plain.last)};
      if (both.first <= both.last) out.ranges_.push_back(both);
    }
  }
  return CharacterSet(out.ranges_);
}

std::string CharacterSet::expression() const {
  const CharacterRange first = ranges_.front();
  if (ranges_.size() == 1 && first.first == first.last) return written(first.first);
  std::string out = "[";
  std::string end = "]";
  for (const CharacterRange& range : ranges_) {
    // Where it stands first it would say that the class is of all others, escaped or not.
    if (range.first == '^' && out.size() == 1) {
      end = "\\^]";
      if (range.last > '^') out += written(CharacterRange{'^' + 1, range.last});
    } else {
      out += written(range);
    }
  }
  return out + end;
}

}  // namespace dms::grammar
