#include "base/prompt_span.h"

#include <algorithm>

namespace dms {

void cut_prompts(std::vector<PromptSpan>& prompts, int64_t tokens) {
  std::erase_if(prompts, [tokens](const PromptSpan& prompt) { return prompt.begin >= tokens; });
  if (!prompts.empty()) prompts.back().end = std::min(prompts.back().end, tokens);
}

std::vector<PromptSpan> read_prompts(ByteReader& in, int64_t tokens, int64_t most_end) {
  std::vector<PromptSpan> prompts = in.list<PromptSpan>();
  int64_t begin = 0;
  for (const PromptSpan& prompt : prompts) {
    in.require(prompt.begin >= begin && prompt.begin < tokens && prompt.begin < prompt.end &&
                   prompt.end <= most_end,
               "prompts that this sequence can't have had");
    begin = prompt.end;
  }
  return prompts;
}

}  // namespace dms
