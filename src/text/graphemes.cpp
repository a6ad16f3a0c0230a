#include "text/graphemes.h"

#include "base/utf8.h"
#include "text/unicode.h"

namespace dms::text {
namespace {

using Kind = GraphemeClass;

constexpr uint32_t kJoiner = 0x200D;
constexpr uint32_t kCr = '\r';
constexpr uint32_t kLf = '\n';

enum class Hangul { none, lead, vowel, tail, open_syllable, closed_syllable };

Hangul hangul(uint32_t c) {
  const auto within = [c](uint32_t first, uint32_t last) { return c >= first && c <= last; };
  if (within(0x1100, 0x115F) || within(0xA960, 0xA97C)) return Hangul::lead;
  if (within(0x1160, 0x11A7) || within(0xD7B0, 0xD7C6)) return Hangul::vowel;
  if (within(0x11A8, 0x11FF) || within(0xD7CB, 0xD7FB)) return Hangul::tail;
  if (!within(0xAC00, 0xD7A3)) return Hangul::none;
  return (c - 0xAC00) % 28 == 0 ? Hangul::open_syllable : Hangul::closed_syllable;
}

bool hangul_joins(uint32_t before, uint32_t after) {
  const Hangul next = hangul(after);
  switch (hangul(before)) {
    case Hangul::lead:
      return next != Hangul::none && next != Hangul::tail;
    case Hangul::vowel:
    case Hangul::open_syllable:
      return next == Hangul::vowel || next == Hangul::tail;
    case Hangul::tail:
    case Hangul::closed_syllable:
      return next == Hangul::tail;
    case Hangul::none:
      return false;
  }
  return false;
}

bool is_control(uint32_t c, Kind kind) { return kind == Kind::control || c == kCr || c == kLf; }

bool extends(uint32_t c, Kind kind) {
  return kind == Kind::extend || kind == Kind::linker || kind == Kind::apart || c == kJoiner;
}

}  // namespace

GraphemeScanner::Point GraphemeScanner::point_at(size_t offset) const {
  const uint32_t value = code_point_at(text_, offset).value;
  return {value, static_cast<Kind>(code_point_bits()[value] >> kGraphemeShift)};
}

// The rules of Unicode's annex 29, in its order. Regional indicators are left out: a pair of them
// and what extends it is too long to be looked up, together or apart.
bool GraphemeScanner::joins(Point before, Point after) const {
  if (before.value == kCr && after.value == kLf) return true;
  if (is_control(before.value, before.kind) || is_control(after.value, after.kind)) return false;
  if (hangul_joins(before.value, after.value)) return true;
  if (extends(after.value, after.kind) || after.kind == Kind::spacing) return true;
  if (before.kind == Kind::prepend) return true;
  if (after.kind == Kind::consonant && consonant_ && linked_) return true;
  return pictograph_joiner_ && after.kind == Kind::pictograph;
}

void GraphemeScanner::see(Point point) {
  const bool is_joiner = point.value == kJoiner;
  const bool is_extending = extends(point.value, point.kind);
  pictograph_joiner_ = pictograph_ && is_joiner;
  pictograph_ = point.kind == Kind::pictograph || (pictograph_ && is_extending && !is_joiner);
  if (point.kind == Kind::consonant) {
    consonant_ = true;
    linked_ = false;
  } else {
    linked_ = linked_ || point.kind == Kind::linker;
    consonant_ = consonant_ && is_extending && point.kind != Kind::apart;
  }
}

std::string_view GraphemeScanner::next() {
  const size_t start = at_;
  pictograph_ = pictograph_joiner_ = consonant_ = linked_ = false;
  Point before = point_at(at_);
  at_ += static_cast<size_t>(code_point_at(text_, at_).bytes);
  see(before);
  while (!is_done()) {
    const Point after = point_at(at_);
    if (!joins(before, after)) break;
    see(after);
    at_ += static_cast<size_t>(code_point_at(text_, at_).bytes);
    before = after;
  }
  return text_.substr(start, at_ - start);
}

}  // namespace dms::text
