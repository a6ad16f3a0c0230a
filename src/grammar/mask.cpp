#include "grammar/mask.h"

#include <algorithm>
#include <limits>

namespace dms::grammar {
namespace {

constexpr float kExcluded = -std::numeric_limits<float>::infinity();
constexpr size_t kBits = 32;

/// Excludes what `word` has no bit for.
void apply_word(uint32_t word, std::span<float> logits) {
  if (word == std::numeric_limits<uint32_t>::max()) return;
  if (word == 0) {
    std::ranges::fill(logits, kExcluded);
    return;
  }
  for (size_t i = 0; i < logits.size(); ++i) {
    if ((word >> i & 1U) == 0) logits[i] = kExcluded;
  }
}

}  // namespace

bool Mask::apply(std::span<const int32_t> ends, std::span<float> logits) const {
  // An end token may have a text too, which the form allows: it ends the answer all the same.
  std::vector<float> kept(ends.size(), kExcluded);
  if (may_end) {
    for (size_t i = 0; i < ends.size(); ++i) kept[i] = logits[static_cast<size_t>(ends[i])];
  }
  for (size_t i = 0; i < words.size(); ++i) {
    const size_t begin = i * kBits;
    if (begin >= logits.size()) break;
    const auto word = static_cast<uint32_t>(words[i]);
    apply_word(word, logits.subspan(begin, std::min(kBits, logits.size() - begin)));
  }
  for (size_t i = 0; i < kept.size(); ++i) logits[static_cast<size_t>(ends[i])] = kept[i];
  return std::ranges::any_of(logits, [](float logit) { return logit != kExcluded; });
}

}  // namespace dms::grammar
