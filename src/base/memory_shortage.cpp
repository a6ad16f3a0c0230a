#include "base/memory_shortage.h"

#include <string>

namespace dms {

MemoryShortage shortage_of(const PassNeed& need) {
  const std::string sequences =
      need.sequences == 1 ? "" : " in " + std::to_string(need.sequences) + " sequences";
  // Memory in pages of several sizes may be short of one while bytes are free.
  const std::string pages =
      need.bytes > need.limit_bytes ? "" : ", in pages of a size that is used up";
  const bool has_policy = need.policy_bytes > 0;
  const std::string of_policy =
      has_policy ? ", of them " + std::to_string(need.policy_bytes) + " beside pages for the policy"
                 : "";
  return MemoryShortage(
      {.where = "KV memory",
       .what = "limit reached at " + std::to_string(need.tokens) + " tokens" + sequences,
       .got =
           "up to " + std::to_string(need.bytes) + " bytes for the next step" + pages + of_policy,
       .expected = "at most " + std::to_string(need.limit_bytes),
       .hint = std::string("raise kv_memory_bytes, shorten the input or use a smaller window") +
               (has_policy ? " or budget of the policy" : "")});
}

}  // namespace dms
