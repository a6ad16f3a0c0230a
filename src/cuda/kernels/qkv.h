#pragma once
// What comes after the QKV product, fused: bias, QK norm, the borrowed channel's decision, the
// token's fate, RoPE, and keys and values on their way into the cache.

#include <cstdint>

#include <cuda_bf16.h>

#include "cuda/kernels/cache_view.h"
#include "cuda/kernels/decisions.h"

namespace dms::cuda {

struct QkvParams {
  const float* qkv = nullptr;     // [rows, (q_heads + 2 kv_heads) * head_dim]
  const float* bias = nullptr;    // [that width], or null
  const float* q_norm = nullptr;  // [head_dim] RMSNorm of each head, or null
  const float* k_norm = nullptr;
  float norm_eps = 1e-6f;
  const float2* angles = nullptr;  // [positions, rotary_dim / 2] cos, sin; null: heads do not turn
  int32_t rotary_dim = 0;
  int32_t q_heads = 0;
  int32_t layer = 0;
  float query_scale = 1.0f;  // multiplies queries after RoPE

  // `neuron` models: the last channel of each group's first query head, after QK norm, gives the
  // logit (raw * alpha_scale - alpha_offset) and is set to zero before RoPE, and after it too where
  // zero_after_rope. It is set to zero whatever FateParams::rule is. Where neuron_logits is not
  // null it replaces what the product gave, before the norm and without a bias to come.
  bool neuron = false;
  bool zero_after_rope = true;
  float alpha_scale = 1.0f;
  float alpha_offset = 0.0f;
  const float* neuron_logits = nullptr;  // [rows, kv_heads]

  FateParams fate{};
  RowView rows{};
  SlotView slots{};
  CacheView cache{};

  __nv_bfloat16* queries = nullptr;  // [rows, q_heads, head_dim]
  // Of rows from decode_rows on, [rows - decode_rows, kv_heads, head_dim]; those of rows that
  // decode go to their window.
  __nv_bfloat16* chunk_keys = nullptr;
  __nv_bfloat16* chunk_values = nullptr;
};

/// Fates are written by bits (atomics); the words were zero before.
cudaError_t finish_qkv(const QkvParams& params, cudaStream_t stream);

}  // namespace dms::cuda
