#include "serve/usage.h"

#include <utility>

namespace dms::serve {

void Usage::add(const Generation& answer, bool is_first_of_prompt) {
  if (is_first_of_prompt) {
    prompt_tokens += answer.prompt_tokens;
    cached_tokens += answer.cached_tokens;
  }
  completion_tokens += std::ssize(answer.ids);
  accepted_tokens += answer.accepted_tokens;
  rejected_tokens += answer.drafted_tokens - answer.accepted_tokens;
  dense_tokens += answer.kv.dense_tokens;
  held_tokens += answer.kv.held_tokens;
  bytes += answer.kv.allocated_bytes;
}

OutJson usage_json(const Usage& usage) {
  OutJson ours{{"dense_tokens", usage.dense_tokens},
               {"held_tokens", usage.held_tokens},
               {"bytes", usage.bytes}};
  if (!usage.notes.empty()) ours["notes"] = usage.notes;
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"completion_tokens_details",
           {{"accepted_prediction_tokens", usage.accepted_tokens},
            {"rejected_prediction_tokens", usage.rejected_tokens}}},
          {"dms", std::move(ours)}};
}

}  // namespace dms::serve
