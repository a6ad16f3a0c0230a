#include "cuda/support.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "cuda/kernels/decode_attention.h"
#include "cuda/kernels/norm.h"
#include "dms/error.h"

namespace dms::cuda {
namespace {

constexpr std::array<int64_t, 4> kHeadDims{64, 80, 96, 128};  // what attention is compiled for
constexpr int64_t kMaxGroup = 8;                              // query heads that share a KV head
constexpr int64_t kColumns = 32;                              // of a matrix, in multiples of these
constexpr int64_t kMaxHidden = kMostNormWidth;

class Checker {
 public:
  explicit Checker(const ModelSpec& spec) : spec_(spec) {}

  /// `got`: what the model has, as "sliding_window 4096".
  void refuse_if(bool has, const char* feature, const std::string& got) const {
    if (!has) return;
    throw InputError({.where = "config.json: model_type " + spec_.model_type,
                      .field = "device",
                      .what = std::string("cuda does not compute ") + feature,
                      .got = got,
                      .expected = "device cpu"});
  }

  void refuse_columns(const char* feature, const char* name, int64_t columns) const {
    refuse_if(columns % kColumns != 0, feature, std::string(name) + " " + std::to_string(columns));
  }

 private:
  const ModelSpec& spec_;
};

void check_positions(const ModelSpec& spec, const Checker& checker) {
  checker.refuse_if(spec.position == PositionKind::alibi, "ALiBi", "position alibi");
  checker.refuse_if(
      spec.position == PositionKind::learned, "learned positions", "position learned");
  const auto depends = [](const RopeSpec& rope) { return rope.depends_on_length(); };
  const bool is_local = spec.local_rope && depends(*spec.local_rope);
  const RopeSpec& rope = is_local ? *spec.local_rope : spec.rope;
  checker.refuse_if(
      is_local || (spec.position == PositionKind::rope && depends(spec.rope)),
      "RoPE scaling that depends on the length",
      rope.scaling == RopeScaling::dynamic ? "rope scaling dynamic" : "rope scaling longrope");
}

void check_attention(const ModelSpec& spec, const Checker& checker) {
  checker.refuse_if(std::ranges::find(kHeadDims, spec.head_dim) == kHeadDims.end(),
                    "heads of other than 64, 80, 96 or 128 channels",
                    "head_dim " + std::to_string(spec.head_dim));
  checker.refuse_if(spec.group() > kMaxGroup,
                    "more than 8 query heads to a KV head",
                    std::to_string(spec.q_heads) + " heads, " + std::to_string(spec.kv_heads) +
                        " of keys and values");
  checker.refuse_if(spec.attention_soft_cap != 0.0,
                    "soft-capped attention scores",
                    "attention_soft_cap " + std::to_string(spec.attention_soft_cap));
  const auto window =
      std::ranges::find_if(spec.sliding_window, [](int64_t tokens) { return tokens > 0; });
  if (window != spec.sliding_window.end()) {
    checker.refuse_if(true, "sliding windows", "sliding_window " + std::to_string(*window));
  }
  checker.refuse_if(
      spec.qk_norm_whole, "norms of all query or key heads together", "qk_norm_whole");
  checker.refuse_if(spec.qkv_clip != 0.0,
                    "clamped queries, keys and values",
                    "qkv_clip " + std::to_string(spec.qkv_clip));
}

void check_layers(const ModelSpec& spec, const Checker& checker) {
  checker.refuse_if(spec.post_norms, "norms of what a layer adds", "post_norms");
  checker.refuse_if(spec.norm_after, "norms after the layers", "norm_after");
  checker.refuse_if(!spec.has_final_norm, "models without a final norm", "no final norm");
  checker.refuse_if(spec.embedding_dim != 0,
                    "projections of embeddings",
                    "embedding_dim " + std::to_string(spec.embedding_dim));
  checker.refuse_if(spec.logit_soft_cap != 0.0,
                    "soft-capped logits",
                    "logit_soft_cap " + std::to_string(spec.logit_soft_cap));
}

void check_widths(const ModelSpec& spec, const Checker& checker) {
  const char* const multiples = "widths other than multiples of 32";
  checker.refuse_columns(multiples, "hidden", spec.hidden);
  checker.refuse_columns(multiples, "ffn", spec.ffn);
  checker.refuse_columns(multiples, "q_heads x head_dim", spec.q_heads * spec.head_dim);
  checker.refuse_if(spec.hidden > kMaxHidden,
                    "rows that a norm cannot hold",
                    "hidden " + std::to_string(spec.hidden));
}

}  // namespace

void require_supported(const ModelSpec& spec) {
  const Checker checker(spec);
  check_positions(spec, checker);
  check_attention(spec, checker);
  check_layers(spec, checker);
  check_widths(spec, checker);
}

void require_shared_memory(const ModelSpec& spec, int bytes) {
  const int wanted = decode_shared_bytes(static_cast<int32_t>(spec.head_dim));
  Checker(spec).refuse_if(
      wanted > bytes,
      "such heads on this device: attention wants more shared memory than a block may have",
      "head_dim " + std::to_string(spec.head_dim) + ", " + std::to_string(wanted) +
          " bytes where " + std::to_string(bytes) + " are allowed");
}

}  // namespace dms::cuda
