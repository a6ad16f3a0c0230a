#pragma once
// What tasks are made of: numbers, words and places drawn at random, and texts cut into sentences.

#include <cstdint>
#include <string>
#include <vector>

#include "base/random.h"

namespace dms::tasks {

/// Decimal, the first digit not 0.
std::string draw_number(int64_t digits, Random& random);
/// Of version 4: random but for the digits that say so.
std::string draw_uuid4(Random& random);
/// "amber-harbor" (recall_phrases.h).
std::string draw_word_pair(Random& random);
/// Uniform in [0, 1).
double draw_share(Random& random);

/// Places between which a text may be parted: its two ends, and where sentences or paragraphs
/// begin; in text without sentences, words.
std::vector<size_t> sentence_starts(const std::string& text);

}  // namespace dms::tasks
