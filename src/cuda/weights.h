#pragma once
// A decoder's weights in device memory, all in one allocation, and views of them for kernels.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cuda/kernels/matmul.h"
#include "cuda/memory.h"
#include "model/decoder_weights.h"
#include "model/spec/model_spec.h"

namespace dms::cuda {

/// A norm's parameters; null where the model has none.
struct DeviceNorm {
  const float* scale = nullptr;
  const float* bias = nullptr;
};

struct DeviceLinear {
  MatrixView matrix{};
  const float* bias = nullptr;  // of the matrix's rows, or null
};

/// KVzap's scores, or nulls.
struct DeviceKvzap {
  const float* hidden = nullptr;  // [width, hidden], or null: the scores are linear
  const float* hidden_bias = nullptr;
  const float* scores = nullptr;  // [kv_heads, width or hidden]
  const float* bias = nullptr;    // [kv_heads]
};

struct DeviceLayer {
  DeviceNorm attention_norm{};
  DeviceLinear qkv{};             // rows [q heads | k heads | v heads]
  const float* q_norm = nullptr;  // [head_dim], or null
  const float* k_norm = nullptr;
  DeviceLinear attention_output{};
  DeviceNorm mlp_norm{};
  DeviceLinear mlp_in{};  // gated: 16 gate rows, then 16 up rows, by 32
  DeviceLinear mlp_out{};
  const float* alpha_norm = nullptr;  // DMS adapter, or null: [hidden]
  const float* alpha = nullptr;       // [kv_heads, hidden]
  const float* alpha_bias = nullptr;  // [kv_heads], or null
  // `neuron` models: the rows of q that decide eviction, [kv_heads, hidden], as exact as the source
  // of the weights has them; null otherwise.
  const float* decision_rows = nullptr;
  DeviceKvzap kvzap{};
};

struct DeviceWeights {
  MatrixView embedding{};  // bf16 [vocab, hidden]
  MatrixView head{};       // [vocab, hidden]; the embedding's memory where it is tied and bf16
  DeviceNorm final_norm{};
  std::vector<DeviceLayer> layers;
  DeviceBuffer memory;

  const __nv_bfloat16* embedding_table() const {
    return static_cast<const __nv_bfloat16*>(embedding.data);
  }
};

/// Bytes of device memory that upload_weights() takes.
size_t device_weight_bytes(const ModelSpec& spec,
                           const model::DecoderWeights& weights,
                           MatrixFormat format);

/// `spec`: one that require_supported() lets pass. Matrices become
/// - bf16: bf16, whatever they were, rounded to nearest;
/// - fp8: E4M3 under a scale for each row, its largest magnitude / 448;
/// - int4: codes, scales and minima of int4 matrices as they are, so that weights are the CPU's bit
///   for bit; other matrices (int8: the head, and what a checkpoint stores so) become bf16.
/// The embedding is bf16 always. Returns when all is on the device. Throws RunError naming what is
/// needed and what is free where memory is short.
DeviceWeights upload_weights(const ModelSpec& spec,
                             const model::DecoderWeights& weights,
                             MatrixFormat format);

/// The same shapes, generated on the device from a counter: matrices uniform with standard
/// deviation 1 / sqrt(columns), norms 1, biases 0. The head is bf16 under int4, as above.
DeviceWeights random_weights(const ModelSpec& spec, uint64_t seed, MatrixFormat format);

}  // namespace dms::cuda
