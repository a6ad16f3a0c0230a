#pragma once
// Eviction decisions (semantics.md section 1): dot products in float32 in an order of summation
// that depends on nothing but the width, so that no batch or chunk flips one, and the fates that
// follow from them.

#include <cstdint>

#include "cuda/kernels/cache_view.h"

namespace dms::cuda {

/// logits[row, k] = (x[row] . weights[k] + bias[k]) * scale - offset
struct DecisionLogitParams {
  const float* x = nullptr;        // [rows, width]: normed, unrounded (NormParams::out_f32)
  const float* weights = nullptr;  // [outputs, width]
  const float* bias = nullptr;     // [outputs], or null
  float* logits = nullptr;         // element (row, k) at row * stride + k * output_stride
  int64_t stride = 0;
  int64_t output_stride = 1;
  int32_t rows = 0;
  int32_t outputs = 0;  // kv_heads, or the width of KVzap's hidden layer
  int32_t width = 0;
  float scale = 1.0f;
  float offset = 0.0f;
  bool gelu = false;  // erf form, of the result: KVzap's hidden layer
};

cudaError_t decision_logits(const DecisionLogitParams& params, cudaStream_t stream);

/// How a token's fate comes about.
enum class FateRule : int32_t {
  keep,       // `none`
  logit,      // evicted where the logit is above 0 (`dms`)
  threshold,  // where the score is below `threshold` (`kvzap`)
  beyond,     // all but the first `sinks` tokens (`streaming`)
  hash,       // probability 1 - keep (`random`), as policy/random.cpp
};

struct FateParams {
  FateRule rule = FateRule::keep;
  int32_t shift = 0;  // 1: token i's fate comes from row i + 1; 0: from its own
  int32_t sinks = 0;  // first tokens, which stay
  float threshold = 0.0f;
  double keep = 1.0;
  uint64_t seed = 0;
  bool per_layer = false;         // KV head 0 decides for all
  const float* logits = nullptr;  // [rows, kv_heads], for logit and threshold
};

}  // namespace dms::cuda
