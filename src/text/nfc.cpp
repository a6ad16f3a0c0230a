#include "text/nfc.h"

#include <algorithm>
#include <cstdint>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "text/unicode_tables.h"
#include "text/utf8.h"

namespace dms::text {
namespace {

// Hangul syllables are computed: Unicode standard, section 3.12.
constexpr uint32_t kSyllable = 0xAC00;
constexpr uint32_t kLead = 0x1100;
constexpr uint32_t kVowel = 0x1161;
constexpr uint32_t kTail = 0x11A7;
constexpr uint32_t kLeads = 19;
constexpr uint32_t kVowels = 21;
constexpr uint32_t kTails = 28;
constexpr uint32_t kSyllables = kLeads * kVowels * kTails;

// Below this, nothing decomposes to or combines with anything: text of such characters is in form
// C.
constexpr uint32_t kFirstInvolved = 0x300;

class Tables {
 public:
  Tables() {
    for (const auto& item : combining_classes()) classes_.emplace(item.code_point, item.value);
    for (const auto& item : decompositions()) decompositions_.emplace(item.code_point, &item);
    for (const auto& item : compositions()) {
      compositions_.emplace(pair_key(item.first, item.second), item.composed);
    }
  }

  uint8_t combining_class(uint32_t c) const {
    if (c < kFirstInvolved) return 0;
    const auto it = classes_.find(c);
    return it == classes_.end() ? uint8_t{0} : it->second;
  }

  const Decomposition* decomposition(uint32_t c) const {
    const auto it = decompositions_.find(c);
    return it == decompositions_.end() ? nullptr : it->second;
  }

  /// The composed character, or 0.
  uint32_t composition(uint32_t first, uint32_t second) const {
    if (first - kLead < kLeads && second - kVowel < kVowels) {
      return kSyllable + ((first - kLead) * kVowels + (second - kVowel)) * kTails;
    }
    if (first - kSyllable < kSyllables && (first - kSyllable) % kTails == 0 &&
        second - kTail - 1 < kTails - 1) {
      return first + (second - kTail);
    }
    const auto it = compositions_.find(pair_key(first, second));
    return it == compositions_.end() ? 0 : it->second;
  }

 private:
  static uint64_t pair_key(uint32_t first, uint32_t second) {
    return uint64_t{first} << 32 | second;
  }

  std::unordered_map<uint32_t, uint8_t> classes_;
  std::unordered_map<uint32_t, const Decomposition*> decompositions_;
  std::unordered_map<uint64_t, uint32_t> compositions_;
};

const Tables& tables() {
  static const Tables tables;
  return tables;
}

struct Mark {
  uint32_t code_point;
  uint8_t combining_class;
  uint32_t position;  // keeps marks of one class in order
};

void append_decomposed(std::vector<Mark>& out, uint32_t c) {
  const auto put = [&](uint32_t part) {
    out.push_back({part, tables().combining_class(part), static_cast<uint32_t>(out.size())});
  };
  if (c - kSyllable < kSyllables) {
    const uint32_t index = c - kSyllable;
    put(kLead + index / (kVowels * kTails));
    put(kVowel + index / kTails % kVowels);
    if (index % kTails != 0) put(kTail + index % kTails);
    return;
  }
  const Decomposition* decomposition = c < 0x80 ? nullptr : tables().decomposition(c);
  if (decomposition == nullptr) {
    put(c);
    return;
  }
  for (const uint32_t part : decomposition->parts) {
    if (part != 0) put(part);
  }
}

// Canonical ordering: marks between two characters of class 0, stably by class.
void reorder(std::vector<Mark>& marks) {
  for (auto it = marks.begin(); it != marks.end();) {
    if (it->combining_class == 0) {
      ++it;
      continue;
    }
    const auto end =
        std::find_if(it, marks.end(), [](const Mark& m) { return m.combining_class == 0; });
    std::sort(it, end, [](const Mark& a, const Mark& b) {
      return std::tie(a.combining_class, a.position) < std::tie(b.combining_class, b.position);
    });
    it = end;
  }
}

// Composes in place: `starter` is the last character of class 0; a mark joins it unless a mark of
// the same or a higher class stands between them.
void compose(std::vector<Mark>& marks) {
  size_t kept = 0;
  size_t starter = marks.size();
  for (size_t i = 0; i < marks.size(); ++i) {
    const Mark mark = marks[i];
    if (starter < kept) {
      const bool adjacent = kept == starter + 1;
      const bool blocked = !adjacent && marks[kept - 1].combining_class >= mark.combining_class;
      const uint32_t composed =
          blocked ? 0 : tables().composition(marks[starter].code_point, mark.code_point);
      if (composed != 0) {
        marks[starter].code_point = composed;
        continue;
      }
    }
    if (mark.combining_class == 0) starter = kept;
    marks[kept++] = mark;
  }
  marks.resize(kept);
}

bool is_trivially_nfc(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) {
    return static_cast<uint8_t>(c) >= 0xCC;  // lead byte of U+0300
  });
}

}  // namespace

std::string to_nfc(std::string_view text) {
  if (is_trivially_nfc(text)) return std::string(text);
  std::vector<Mark> marks;
  marks.reserve(text.size());
  for (size_t offset = 0; offset < text.size();) {
    const CodePoint next = code_point_at(text, offset);
    append_decomposed(marks, next.value);
    offset += static_cast<size_t>(next.bytes);
  }
  reorder(marks);
  compose(marks);
  std::string out;
  out.reserve(text.size());
  for (const Mark& mark : marks) append_utf8(out, mark.code_point);
  return out;
}

}  // namespace dms::text
