#pragma once
// Samples to tensors: what one micro-batch feeds the model and which of its tokens count.

#include <cstdint>

#include "train/config/train_config.h"
#include "train/data/batches.h"
#include "train/torch.h"

namespace dms::train {

/// Rows are padded on the right to the longest.
struct Batch {
  at::Tensor ids;      // int64 [batch, tokens], padding 0
  at::Tensor lengths;  // int64 [batch]
  at::Tensor targets;  // int64 [batch x tokens]: the next token, -1 where it does not count
  at::Tensor counted;  // bool [batch x tokens]: tokens whose distribution is distilled
  int64_t tokens = 0;  // not padding

  Batch to(at::Device device) const;
};

/// Samples [first, first + size). A token counts when it is neither padding nor an end of text
/// (nothing can be learned from what follows that) and its target is wanted by the data.
Batch make_batch(const PreparedData& data, int64_t first, int64_t size);

}  // namespace dms::train
