#pragma once
// What is thrown for want of KV memory, wherever it is found wanting: who gives some back may try
// again.

#include <cstdint>

#include "dms/error.h"

namespace dms {

class MemoryShortage : public RunError {
 public:
  using RunError::RunError;
};

/// A pass that finds no room.
struct PassNeed {
  int64_t sequences = 0;     // in it
  int64_t tokens = 0;        // of theirs so far
  int64_t bytes = 0;         // after it at most, with all that is held
  int64_t limit_bytes = 0;   // that there are
  int64_t policy_bytes = 0;  // of `bytes`, what policies may hold beside pages
};

/// Why it finds none, for whom its requests are.
MemoryShortage shortage_of(const PassNeed& need);

}  // namespace dms
