#pragma once
// The words by which a model is made to repeat a context, as tokens.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

namespace dms::cpu {

/// How a context is repeated: in what chunks, and which ids stand before one's repetition.
struct ReplayPrompt {
  static constexpr int64_t kReminder = 8;  // last ids of the chunk before, which a part starts with

  std::vector<int32_t> whole;   // asks for the context: before its first chunk
  std::vector<int32_t> part;    // asks for the part that starts as the chunk before ends
  std::vector<int32_t> answer;  // after either: where the answer begins
  int64_t chunk = 2048;         // tokens of the context

  /// The longest repetition of a context of `tokens` tokens.
  int64_t repetition_tokens(int64_t tokens) const {
    const int64_t asks = std::max(std::ssize(whole), std::ssize(part) + kReminder);
    return std::min(tokens, chunk) + asks + std::ssize(answer);
  }
  /// The longest context that fits into `tokens` tokens with its longest repetition; less than 1:
  /// none does.
  int64_t longest_context(int64_t tokens) const {
    const int64_t room = tokens - repetition_tokens(0);
    return std::max(room - chunk, std::min(room / 2, chunk));
  }
};

/// Makes one where a policy needs it. Throws InputError where the model has no tokenizer. Any
/// thread.
using ReplayPromptSource = std::function<ReplayPrompt()>;

}  // namespace dms::cpu
