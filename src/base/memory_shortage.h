#pragma once
// What is thrown for want of KV memory, wherever it is found wanting: who gives some back may try
// again.

#include "dms/error.h"

namespace dms {

class MemoryShortage : public RunError {
 public:
  using RunError::RunError;
};

}  // namespace dms
