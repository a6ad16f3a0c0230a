#pragma once
// One layer's attention over the caches of a batch: cuts it into tasks that threads can share and
// calls the kernels. How a task is cut depends on lengths alone, never on the number of threads, so
// that results do not either.

#include <cstdint>

#include "model/batch.h"

namespace dms::model {

/// Reads work.qkv (and q_far), writes work.attended [rows, q_heads * head_dim].
void run_attention(const ModelSpec& spec, int64_t layer, const Batch& batch, Workspace& work);

}  // namespace dms::model
