#include "cuda/graph_cache.h"

namespace dms::cuda {

void GraphCache::run(const StepWork&, const Stream&, const std::function<void()>& launch) {
  launch();
}

}  // namespace dms::cuda
