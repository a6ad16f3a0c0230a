#pragma once
// Merges for a SentencePiece vocabulary that has scores only.

#include <string>
#include <vector>

#include "text/bpe.h"

namespace dms::text {

/// Every way to join two tokens to a third, best first: by the score of the joined token, as
/// SentencePiece's BPE merges. Of equal scores those with the longer left part come first, as in
/// transformers' generate_merges(). `tokens` by id; of a token given twice the last counts.
std::vector<Merge> merges_by_score(const std::vector<std::string>& tokens,
                                   const std::vector<double>& scores);

}  // namespace dms::text
