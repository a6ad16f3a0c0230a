#pragma once
// Which of a sequence's tokens prompts brought, by rising position.

#include <cstdint>
#include <vector>

#include "base/bytes.h"

namespace dms {

/// Positions of a prompt's tokens.
struct PromptSpan {
  int64_t begin = 0;
  int64_t end = 0;
};

/// Forgets what lies behind the first `tokens` tokens.
void cut_prompts(std::vector<PromptSpan>& prompts, int64_t tokens);

/// Those of a sequence of `tokens` tokens, the last of which may end at `most_end`. Throws
/// InputError where it can't have had them.
std::vector<PromptSpan> read_prompts(ByteReader& in, int64_t tokens, int64_t most_end);

}  // namespace dms
