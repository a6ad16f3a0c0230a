#pragma once
// KVzap's scores of tokens: W h + b, or W2 GELU(W1 h + b1) + b2, where h is the attention's input
// after its norm.

#include <cstdint>
#include <span>

#include "model/decoder_weights.h"

namespace dms::model {

/// Writes `scores` [rows, kv_heads] of `x` [rows, hidden], in float32 and in an order of summation
/// that depends on neither chunk nor batch, so that neither can flip a decision.
void kvzap_scores(const KvzapWeights& weights,
                  std::span<const float> x,
                  int64_t rows,
                  std::span<float> scores);

}  // namespace dms::model
