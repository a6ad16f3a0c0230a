#include "text/unicode_tables.h"

#include <map>

#include "text/packed_unicode.h"

namespace dms::text {
namespace {

class Unpacker {
 public:
  explicit Unpacker(std::string_view packed) : packed_(packed) {}

  bool is_done() const { return at_ == packed_.size(); }

  uint32_t number() {
    uint32_t value = 0;
    for (uint32_t shift = 0;; shift += 5) {
      const char c = packed_[at_++];
      const auto bits = static_cast<uint32_t>((c == 'z' ? '\\' : c) - '(');
      value |= (bits & 31) << shift;
      if (bits < 32) return value;
    }
  }

  /// `base` and a difference with a sign.
  uint32_t near(uint32_t base) {
    const uint32_t difference = number();
    return difference % 2 == 1 ? base - difference / 2 : base + difference / 2;
  }

  /// The next of ascending code points.
  uint32_t code_point() { return code_point_ += number(); }

 private:
  std::string_view packed_;
  size_t at_ = 0;
  uint32_t code_point_ = 0;
};

std::vector<CodePointRun> unpack_runs() {
  Unpacker packed(kPackedRuns);
  std::vector<uint16_t> sets(packed.number());
  for (uint16_t& set : sets) set = static_cast<uint16_t>(packed.number());
  std::vector<CodePointRun> runs;
  while (!packed.is_done()) {
    const uint32_t first = packed.code_point();
    runs.push_back({first, sets[packed.number()]});
  }
  return runs;
}

std::vector<CombiningClass> unpack_classes() {
  Unpacker packed(kPackedClasses);
  std::vector<CombiningClass> classes;
  while (!packed.is_done()) {
    const uint32_t c = packed.code_point();
    classes.push_back({c, static_cast<uint8_t>(packed.number())});
  }
  return classes;
}

struct DecompositionTables {
  std::vector<Decomposition> all;
  std::vector<Composition> compositions;
};

// A character composes from the one that all parts but the last compose to, and the last.
DecompositionTables unpack_decompositions() {
  DecompositionTables tables;
  std::map<std::vector<uint32_t>, uint32_t> composed;  // by parts; shorter ones come first below
  for (const bool is_canonical : {true, false}) {
    Unpacker packed(is_canonical ? kPackedCanonical : kPackedCompatible);
    uint32_t first = 0;
    while (!packed.is_done()) {
      Decomposition& item = tables.all.emplace_back();
      item.code_point = packed.code_point();
      item.is_canonical = is_canonical;
      const uint32_t count = packed.number();
      first = packed.near(first);
      item.parts.push_back(first);
      while (item.parts.size() < count / 2) item.parts.push_back(packed.number());
      if (count % 2 == 1) composed.emplace(item.parts, item.code_point);
    }
  }
  for (const auto& [parts, c] : composed) {
    const std::vector<uint32_t> head(parts.begin(), parts.end() - 1);
    const uint32_t first = head.size() == 1 ? head.front() : composed.at(head);
    tables.compositions.push_back({first, parts.back(), c});
  }
  return tables;
}

const DecompositionTables& decomposition_tables() {
  static const DecompositionTables tables = unpack_decompositions();
  return tables;
}

std::vector<LowercaseMapping> unpack_lowercase() {
  Unpacker packed(kPackedLowercase);
  std::vector<LowercaseMapping> mappings;
  while (!packed.is_done()) {
    const uint32_t c = packed.code_point();
    mappings.push_back({c, packed.near(c)});
  }
  return mappings;
}

}  // namespace

std::span<const CodePointRun> code_point_runs() {
  static const std::vector<CodePointRun> runs = unpack_runs();
  return runs;
}

std::span<const CombiningClass> combining_classes() {
  static const std::vector<CombiningClass> classes = unpack_classes();
  return classes;
}

std::span<const Decomposition> decompositions() { return decomposition_tables().all; }
std::span<const Composition> compositions() { return decomposition_tables().compositions; }

std::span<const LowercaseMapping> lowercase_mappings() {
  static const std::vector<LowercaseMapping> mappings = unpack_lowercase();
  return mappings;
}

}  // namespace dms::text
