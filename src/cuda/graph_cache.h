#pragma once
// Steps that only decode, as CUDA graphs: captured the first time, replayed from then on. All that
// changes between them lies in device memory.

#include <cstdint>
#include <functional>

#include "cuda/memory.h"
#include "cuda/step.h"

namespace dms::cuda {

class GraphCache {
 public:
  /// Has `launch` put on the stream what `work` takes.
  void run(const StepWork& work, const Stream& stream, const std::function<void()>& launch);
};

}  // namespace dms::cuda
