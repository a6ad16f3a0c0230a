#pragma once
// A decoder family described by data: everything that kernels, cache, engine and trainer need to
// know about an architecture, and nothing about its name. Filled by one file per family under
// families/, from a Hugging Face config.json.

#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dms {

enum class NormKind { rms, layer };                     // RMSNorm | LayerNorm
enum class Activation { silu, gelu, gelu_tanh, relu };  // gelu = erf form
enum class PositionKind { rope, alibi, learned };
enum class QkvLayout {
  separate,      // q_proj, k_proj, v_proj
  concatenated,  // one tensor, rows [q | k | v] (MPT)
  per_head,      // one tensor, rows [head][q, k, v][head_dim] (GPT-NeoX)
  per_group,     // one tensor, rows [kv_head][q x group, k, v][head_dim] (Falcon)
};
enum class QuantMethod {
  compressed_tensors,  // vLLM's: rows of codes, packed along the columns or a byte each
  gptq,                // transposed, packed along the columns
  awq,                 // transposed, packed along the rows in an order of its own
};
enum class RopeScaling { none, linear, dynamic, llama3, yarn, longrope };

/// How a folder stores its matrices as codes (config.json's quantization_config).
struct Quantisation {
  QuantMethod method = QuantMethod::compressed_tensors;
  /// GPTQ's first format stores each zero point less one.
  bool zero_less_one = false;
};

/// Rotary embedding, "rotate half" pairing: channel i turns with channel i + rotary_dim / 2.
/// Formulas as in transformers' modeling_rope_utils.
struct RopeSpec {
  double theta = 10000.0;
  int64_t rotary_dim = 0;  // channels that turn, from the front; even, at most head_dim
  RopeScaling scaling = RopeScaling::none;
  double factor = 1.0;
  double low_freq_factor = 1.0;            // llama3
  double high_freq_factor = 4.0;           // llama3
  int64_t original_context = 0;            // llama3, yarn, dynamic, longrope
  double beta_fast = 32.0;                 // yarn
  double beta_slow = 1.0;                  // yarn
  bool truncate = true;                    // yarn: correction range rounded to whole channels
  std::optional<double> attention_factor;  // yarn, longrope: multiplies cos and sin; else derived
  std::optional<double> mscale;            // yarn
  std::optional<double> mscale_all_dim;    // yarn
  std::vector<float> short_factors;        // longrope, [rotary_dim / 2]: divide the frequencies of
                                           // sequences up to original_context
  std::vector<float> long_factors;         // longrope: those of longer ones
  std::vector<float> frequency_divisors;   // [rotary_dim / 2], after all scaling; empty: all one

  /// Whether the frequencies depend on the length that a sequence begins with.
  bool depends_on_length() const {
    return scaling == RopeScaling::dynamic || scaling == RopeScaling::longrope;
  }
};

enum class WeightRole {
  embedding,
  embedding_projection,  // from embedding_dim to hidden
  position_embedding,
  attention_norm,
  attention_norm_bias,
  q,
  k,
  v,
  qkv,
  q_bias,
  k_bias,
  v_bias,
  qkv_bias,
  q_norm,
  k_norm,
  attention_output,
  attention_output_bias,
  attention_post_norm,
  mlp_norm,
  mlp_norm_bias,
  gate_up,
  gate,
  up,
  down,
  gate_bias,
  up_bias,
  down_bias,
  mlp_post_norm,
  final_norm,
  final_norm_bias,
  head_projection,  // from hidden to embedding_dim
  head,
  dms_alpha_norm,
  dms_alpha,
  dms_alpha_bias,
  kvzap,  // the layer that gives the scores
  kvzap_bias,
  kvzap_hidden,
  kvzap_hidden_bias,
  triattention_mean,  // of a layer's queries
  triattention_size,
};

/// A weight's name in the checkpoint; "{}" stands for the layer's number.
struct WeightPattern {
  WeightRole role;
  std::string_view name;
};

enum class DmsSource { adapter, neuron };

/// semantics.md section 1: how eviction decisions are made.
struct DmsSpec {
  DmsSource source = DmsSource::neuron;
  int64_t decision_shift = 1;   // 1: token i's fate comes from token i + 1; 0: from token i
  bool zero_after_rope = true;  // neuron: the borrowed channel is zeroed before and after RoPE
                                // (NVIDIA) or before only (FastDMS)
  bool per_layer = false;       // KV head 0 decides for all KV heads
  bool disable_eviction = false;
  int64_t window = 512;
  double alpha_scale = 100.0;
  double alpha_offset = 5.0;
  bool alpha_bias = false;  // adapter (ours): a bias where the family's attention has none, too
  int64_t sinks = 0;        // ours: first tokens, which stay whatever their decisions
  double target_cr = 0.0;   // 0: not stated
  std::string origin{};     // the file the settings came from
};

/// KVzap (arXiv 2601.07891): a score for each KV head and token, from the attention's input after
/// its norm; a token that leaves the window goes where its score is below the threshold.
struct KvzapSpec {
  double threshold = 0.0;
  int64_t window = 128;
  int64_t sinks = 4;       // first tokens, which stay whatever their scores
  int64_t hidden = 0;      // width of a hidden layer with GELU; 0: the scores are linear
  double target_cr = 0.0;  // 0: not stated
  std::string origin{};    // the file the settings came from
};

/// TriAttention (arXiv 2604.04921): each query head's queries over a text, before RoPE turns them.
/// The numbers are null until read_query_statistics().
struct TriattentionSpec {
  int64_t tokens = 0;                                 // of the text
  std::string base_sum{};                             // base_sum() of the model that read it
  std::shared_ptr<const std::vector<float>> means{};  // [layers, q_heads, head_dim]
  std::shared_ptr<const std::vector<float>>
      sizes{};           // [layers, q_heads, rotary_dim / 2], mean size
                         // of the pairs of channels that turn together
  std::string origin{};  // the file the settings came from
};

struct ModelSpec {
  std::string model_type;
  int64_t layers = 0;
  int64_t hidden = 0;
  int64_t q_heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t ffn = 0;
  int64_t vocab = 0;
  int64_t embedding_dim = 0;  // columns of embedding and head where projections lead to
                              // hidden and back (OPT-350m); 0: hidden, no projections
  int64_t context = 0;        // longest sequence the model was made for

  NormKind norm = NormKind::rms;
  double norm_eps = 1e-5;
  double norm_offset = 0.0;  // is added to norms' weights but the adapter's (Gemma: 1)
  bool norm_has_bias = false;
  bool qk_norm = false;            // RMSNorm of each q and k head before RoPE
  bool qk_norm_whole = false;      // LayerNorm of all of q and all of k instead (MPT)
  bool norm_after = false;         // norms follow the sub-layers (OPT-350m)
  bool post_norms = false;         // and what a sub-layer adds has one of its own (Gemma)
  bool parallel_residual = false;  // x + attention(norm(x)) + mlp(norm(x))
  bool shared_norm = false;        // of a parallel residual: one norm for both branches

  PositionKind position = PositionKind::rope;
  RopeSpec rope;                        // for PositionKind::rope
  std::optional<RopeSpec> local_rope;   // of layers with a sliding window, where it is another
  std::vector<uint8_t> unrotated;       // per layer, 1: its heads do not turn. Empty: all do
  int64_t learned_position_offset = 0;  // row of position 0 in the table (OPT: 2)
  std::vector<float> alibi_slopes;      // [q_heads], for PositionKind::alibi: what a position adds
                                        // to q . k, before that is scaled
  bool alibi_in_bf16 = false;           // positions and their products are rounded to bf16 (Falcon)
  double attention_scale = 0.0;         // multiplies q . k; 0: 1 / sqrt(head_dim)
  double attention_soft_cap = 0.0;      // scores become cap * tanh(score / cap); 0: they stay
  std::vector<int64_t> sliding_window;  // per layer, keys a query sees; 0: all. Empty: all 0

  QkvLayout qkv_layout = QkvLayout::separate;
  bool qkv_bias = false;
  double qkv_clip = 0.0;     // q, k and v are clamped to [-clip, clip] before RoPE (MPT); 0: never
  bool output_bias = false;  // attention's output projection
  bool mlp_bias = false;
  bool gated_mlp = true;       // down(act(gate(x)) * up(x)), else down(act(up(x)))
  bool fused_gate_up = false;  // one tensor, rows [gate | up]
  Activation activation = Activation::silu;
  bool tied_head = false;
  bool has_final_norm = true;
  double embedding_scale = 1.0;  // multiplies embeddings, but not a tied head
  double logit_soft_cap = 0.0;   // logits become cap * tanh(logit / cap); 0: they stay

  std::span<const WeightPattern> weight_patterns;  // the family's table (static storage)

  std::optional<Quantisation> quantisation;
  std::optional<DmsSpec> dms;
  std::optional<KvzapSpec> kvzap;                // of an adapter; a model with `dms` has none
  std::optional<TriattentionSpec> triattention;  // likewise, and instead of `kvzap`
  std::vector<int32_t>
      eos_ids;  // of config.json and generation_config.json, and what add_end_token() added
  std::optional<int32_t> bos_id;
  std::vector<std::string> notes;  // what is odd about the folder and was read all the same

  int64_t group() const { return q_heads / kv_heads; }
  /// What multiplies q . k.
  float query_scale() const {
    return attention_scale != 0.0 ? static_cast<float>(attention_scale)
                                  : 1.0f / std::sqrt(static_cast<float>(head_dim));
  }
  int64_t sliding_window_at(int64_t layer) const {
    return sliding_window.empty() ? 0 : sliding_window[static_cast<size_t>(layer)];
  }
  /// How the heads of a layer turn; null: they do not.
  const RopeSpec* rope_at(int64_t layer) const {
    const bool turns = unrotated.empty() || unrotated[static_cast<size_t>(layer)] == 0;
    if (position != PositionKind::rope || !turns) return nullptr;
    return local_rope && sliding_window_at(layer) > 0 ? &*local_rope : &rope;
  }
};

}  // namespace dms
