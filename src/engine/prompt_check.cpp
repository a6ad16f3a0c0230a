#include "engine/prompt_check.h"

#include <algorithm>
#include <string>

#include "dms/error.h"

namespace dms::engine {

void check_ids(std::span<const int32_t> ids, const Room& room) {
  const auto bad =
      std::ranges::find_if(ids, [&room](int32_t id) { return id < 0 || id >= room.vocab; });
  if (bad != ids.end()) {
    throw InputError({.field = "prompt[" + std::to_string(bad - ids.begin()) + "]",
                      .what = "token id out of range",
                      .got = std::to_string(*bad),
                      .expected = "0 to " + std::to_string(room.vocab - 1)});
  }
  const int64_t total = room.tokens + std::ssize(ids);
  if (total <= room.max_tokens) return;
  throw InputError({.field = "prompt",
                    .what = "longer than the model's context",
                    .got = std::to_string(total) + " tokens",
                    .expected = "at most " + std::to_string(room.max_tokens),
                    .hint = room.max_tokens < room.context
                                ? "of the model's " + std::to_string(room.context) +
                                      " tokens the policy needs the others, to have the prompt "
                                      "repeated"
                                : ""});
}

void check_prompt(std::span<const int32_t> ids, const Room& room) {
  if (ids.empty()) {
    throw InputError(
        {.field = "prompt", .what = "is empty", .got = "0 tokens", .expected = "at least 1"});
  }
  check_ids(ids, room);
}

}  // namespace dms::engine
