#include "base/memory_shortage.h"

#include <string>

namespace dms {

MemoryShortage shortage_of(const PassNeed& need) {
  const std::string sequences =
      need.sequences == 1 ? "" : " in " + std::to_string(need.sequences) + " sequences";
  // Memory in pages of several sizes may be short of one while bytes are free.
  const std::string pages =
      need.bytes > need.limit_bytes ? "" : ", in pages of a size that is used up";
  return MemoryShortage(
      {.where = "KV memory",
       .what = "limit reached at " + std::to_string(need.tokens) + " tokens" + sequences,
       .got = "up to " + std::to_string(need.bytes) + " bytes for the next step" + pages,
       .expected = "at most " + std::to_string(need.limit_bytes),
       .hint = "raise kv_memory_bytes, shorten the input or use a smaller window"});
}

}  // namespace dms
