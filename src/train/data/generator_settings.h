#pragma once
// Reading a generator's settings and drawing from its source: what all kinds share.

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

#include "train/data/generator.h"

namespace dms::train::data {

constexpr int64_t kMaxGenerated = int64_t{1} << 32;

class GeneratorSettings {
 public:
  /// Throws InputError naming a setting that is neither common to all kinds (kind, source,
  /// documents, seed, loss) nor one of `own`.
  GeneratorSettings(const GeneratorContext& context, std::initializer_list<std::string_view> own);

  const JsonFields& fields() const { return fields_; }
  int64_t documents() const { return fields_.integer("documents", 1, kMaxGenerated); }
  uint64_t seed() const;
  /// `loss`: "all" (default) gives false, `other` true.
  bool loss_is(std::string_view other) const;
  /// "name: 3" or "name: [2, 5]".
  Range range(std::string_view name, Range fallback, int64_t min, int64_t max) const;

 private:
  JsonFields fields_;
  uint64_t default_seed_;
};

/// `count` tokens of text from random places of the source, none of them special: a stretch of one
/// document, continued by others where documents are short. Throws InputError when the source holds
/// nothing else.
std::vector<int32_t> draw_source_tokens(const GeneratorContext& context,
                                        int64_t count,
                                        Random& random);

/// Throws InputError unless the context has a source.
void require_source(const GeneratorContext& context);

}  // namespace dms::train::data
