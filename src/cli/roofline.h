#pragma once
// How much work a prompt or a token is, so that a measured speed can be stated as a share of what
// the machine can do at best. Sliding-window layers are counted as full ones.

#include <cstdint>

#include "dms/llm.h"

namespace dms::cli {

/// What one query sees: the `window_tokens` before it, and of older tokens the share `keep`.
struct Visibility {
  int64_t window_tokens = 0;
  double keep = 1.0;  // 1: dense
};

/// Keys seen, summed over the queries at positions [context, context + tokens).
double visible_keys(int64_t context, int64_t tokens, const Visibility& visibility);

/// Weights multiplied for every token: all but the embedding and the head.
int64_t body_parameters(const ModelInfo& info);

/// Bytes of one weight with its share of a scale: the linear layers', and the head's and
/// embedding's.
struct WeightBytes {
  double body = 0;
  double table = 0;
};
WeightBytes weight_bytes_each(const ModelInfo& info);
/// Bytes of all weights in memory.
double weight_bytes(const ModelInfo& info);
/// Bytes of the weights read to decode one token: the body's and the head's.
double decode_weight_bytes(const ModelInfo& info);

/// Arithmetic of a prompt, by what bounds it.
struct PrefillFlops {
  double products = 0;   // 2 x the weights multiplied (the head's for the last token only)
  double attention = 0;  // its two products
};
PrefillFlops prefill_flops(const ModelInfo& info,
                           int64_t context,
                           int64_t tokens,
                           const Visibility& visibility);

/// The share of older tokens kept that explains `held_tokens` entries after `tokens` tokens; 1
/// where all lie in the window.
double kept_share(const ModelInfo& info,
                  int64_t tokens,
                  int64_t held_tokens,
                  int64_t window_tokens);

}  // namespace dms::cli
