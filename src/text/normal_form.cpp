#include "text/normal_form.h"

#include <algorithm>
#include <cstdint>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "base/utf8.h"
#include "text/unicode_tables.h"

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

// Marks that are put in order at once; only a text without any letters of class 0 has more.
constexpr size_t kLongSegment = 4096;

class Tables {
 public:
  Tables() : involved_(0x110000) {
    for (const CombiningClass& item : combining_classes()) {
      classes_.emplace(item.code_point, item.value);
      involved_[item.code_point] = true;
    }
    for (const Decomposition& item : decompositions()) {
      (item.is_canonical ? canonical_ : compatible_).emplace(item.code_point, &item);
      involved_[item.code_point] = true;
    }
    for (const Composition& item : compositions()) {
      compositions_.emplace(pair_key(item.first, item.second), item.composed);
      involved_[item.second] = true;
    }
    const auto involve = [this](uint32_t first, uint32_t count) {
      std::fill_n(involved_.begin() + first, count, true);
    };
    involve(kSyllable, kSyllables);
    involve(kVowel, kVowels);
    involve(kTail, kTails);
  }

  /// False: it neither decomposes, nor moves, nor joins what is before it.
  bool is_involved(uint32_t c) const { return involved_[c]; }

  uint8_t combining_class(uint32_t c) const {
    if (!involved_[c]) return 0;
    const auto it = classes_.find(c);
    return it == classes_.end() ? uint8_t{0} : it->second;
  }

  const Decomposition* decomposition(uint32_t c, bool compatible) const {
    if (compatible) {
      const auto it = compatible_.find(c);
      if (it != compatible_.end()) return it->second;
    }
    const auto it = canonical_.find(c);
    return it == canonical_.end() ? nullptr : it->second;
  }

  /// The composed character, or 0.
  uint32_t composition(uint32_t first, uint32_t second) const {
    if (!involved_[second]) return 0;
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

  std::vector<bool> involved_;
  std::unordered_map<uint32_t, uint8_t> classes_;
  std::unordered_map<uint32_t, const Decomposition*> canonical_;
  std::unordered_map<uint32_t, const Decomposition*> compatible_;
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

void append_decomposed(std::vector<Mark>& out, uint32_t c, bool compatible) {
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
  const Decomposition* decomposition =
      tables().is_involved(c) ? tables().decomposition(c, compatible) : nullptr;
  if (decomposition == nullptr) {
    put(c);
  } else {
    for (const uint32_t part : decomposition->parts) put(part);
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

// The first byte of the first character that a form changes or joins to what is before it: those
// before it stay as they are, whatever follows.
uint8_t first_involved_byte(NormalForm form) {
  if (form == NormalForm::nfc) return 0xCC;  // U+0300
  return form == NormalForm::nfd ? 0xC3 : 0xC2;
}

class Writer {
 public:
  Writer(NormalForm form, std::string_view text, std::string& out)
      : compatible_(form == NormalForm::nfkc || form == NormalForm::nfkd),
        composes_(form == NormalForm::nfc || form == NormalForm::nfkc),
        first_byte_(first_involved_byte(form)),
        text_(text),
        out_(out) {}

  void write() {
    size_t written = 0;
    for (size_t at = 0; at < text_.size();) {
      if (static_cast<uint8_t>(text_[at]) < first_byte_) {
        ++at;
        continue;
      }
      // Marks may join the character before them.
      const size_t start =
          at > written ? at - static_cast<size_t>(code_point_before(text_, at).bytes) : at;
      out_ += text_.substr(written, start - written);
      written = at = segment(start);
    }
    out_ += text_.substr(written);
  }

 private:
  // Writes the characters from `start` to the next that stays as it is.
  size_t segment(size_t start) {
    marks_.clear();
    size_t at = start;
    while (at < text_.size()) {
      const CodePoint next = code_point_at(text_, at);
      if (at > start && static_cast<uint8_t>(text_[at]) < first_byte_) break;
      if (marks_.size() > kLongSegment && !tables().is_involved(next.value)) break;
      append_decomposed(marks_, next.value, compatible_);
      at += static_cast<size_t>(next.bytes);
    }
    reorder(marks_);
    if (composes_) compose(marks_);
    for (const Mark& mark : marks_) append_utf8(out_, mark.code_point);
    return at;
  }

  bool compatible_;
  bool composes_;
  uint8_t first_byte_;
  std::string_view text_;
  std::string& out_;
  std::vector<Mark> marks_;
};

}  // namespace

std::string to_normal_form(NormalForm form, std::string_view text) {
  std::string out;
  out.reserve(text.size());
  Writer(form, text, out).write();
  return out;
}

}  // namespace dms::text
