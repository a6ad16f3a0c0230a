#pragma once
// A decoder's weights, packed for the kernels. Immutable after loading; thread-safe.

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/packed_matrix.h"
#include "model/spec/weights.h"

namespace dms::model {

/// A norm's parameters, ModelSpec::norm_offset included; `bias` is empty for RMSNorm.
struct NormWeights {
  std::vector<float> scale;
  std::vector<float> bias;
};

/// A packed linear layer; `bias` (in packed row order) may be empty.
struct LinearWeights {
  kernels::PackedMatrix matrix;
  std::vector<float> bias;
};

/// KVzap's scores, float32 whatever the other matrices are; empty where the model has none.
struct KvzapWeights {
  kernels::PackedMatrix hidden;  // [width, hidden], or empty: the scores are linear
  std::vector<float> hidden_bias;
  std::vector<float> scores;  // [kv_heads, width or hidden]
  std::vector<float> bias;    // [kv_heads]
};

struct LayerWeights {
  NormWeights attention_norm;
  LinearWeights qkv;          // rows [q heads | k heads | v heads]
  std::vector<float> q_norm;  // [head_dim], or of all heads together, or empty
  std::vector<float> k_norm;
  LinearWeights attention_output;
  NormWeights attention_post_norm;  // of what attention adds, or empty
  NormWeights mlp_norm;             // empty where both branches share one
  LinearWeights mlp_in;             // gated: 16 gate rows, 16 up rows in each panel
  LinearWeights mlp_out;
  NormWeights mlp_post_norm;
  std::vector<float> alpha_norm;  // DMS adapter, or empty: [hidden]
  std::vector<float> alpha;       // [kv_heads, hidden]
  std::vector<float> alpha_bias;  // [kv_heads], or empty
  // The rows of q that decide eviction in `neuron` models, [kv_heads, hidden]: where the matrix is
  // quantised, these are not.
  std::vector<float> decision_rows;
  KvzapWeights kvzap;
};

struct DecoderWeights {
  kernels::PackedMatrix embedding;  // [vocab, embedding_dim]; empty when the head is tied
  kernels::PackedMatrix head;       // [vocab, embedding_dim]
  // From embedding_dim to hidden and back; empty where they are the same.
  LinearWeights embedding_projection;
  LinearWeights head_projection;
  std::vector<float> positions;  // learned: [learned_position_offset + context, hidden]
  std::vector<LayerWeights> layers;
  NormWeights final_norm;

  /// One token's embedding as float32 [embedding_dim].
  void get_embedding(int64_t token, std::span<float> out) const;
};

/// Last channel of the first query head of a group: where `neuron` decisions come from.
inline int64_t borrowed_channel(const ModelSpec& spec, int64_t kv_head) {
  return kv_head * spec.group() * spec.head_dim + spec.head_dim - 1;
}

/// In what form matrices are kept.
struct WeightStorage {
  kernels::WeightFormat format = kernels::WeightFormat::bf16;
  // Nobody asked for the format: under a quantised one codes of the other width stay as they are,
  // and numbers become int8.
  bool as_stored = false;
};

/// Reads and packs everything `spec` needs, one tensor's rows at a time, so that memory never
/// holds much more than the packed weights. Linear layers are stored in `storage.format`: codes of
/// that width as the source has them, other numbers in int4 with minima where those take away half
/// of the error; under int4 the head and the embedding are int8;
/// norms, biases and decision projections stay float32. Throws InputError where a weight to be
/// quantised is not finite. Uses the caller's threads.
DecoderWeights load_weights(const ModelSpec& spec,
                            const WeightSource& source,
                            const WeightStorage& storage);

}  // namespace dms::model
