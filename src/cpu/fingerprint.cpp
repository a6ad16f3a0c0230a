#include "cpu/fingerprint.h"

#include <algorithm>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/checksum.h"

namespace dms::cpu {
namespace {

constexpr int64_t kPieceBytes = 64;
constexpr int64_t kPieces = 512;                    // of a matrix
constexpr uint64_t kMixer = 0x9e37'79b9'7f4a'7c15;  // 2^64 over the golden ratio

/// The spec's numbers as bytes, one after the other.
class SpecBytes {
 public:
  // A GGUF file has these in float32, a config.json as text.
  void number(double value) { out_.value(static_cast<float>(value)); }
  void whole(int64_t value) { out_.value(value); }
  void list(std::span<const float> values) { out_.list(values); }

  void rope(const RopeSpec* spec) {
    whole(spec != nullptr);
    if (spec == nullptr) return;
    for (const int64_t value : {spec->rotary_dim,
                                static_cast<int64_t>(spec->scaling),
                                spec->original_context,
                                static_cast<int64_t>(spec->truncate)}) {
      whole(value);
    }
    for (const double value : {spec->theta,
                               spec->factor,
                               spec->low_freq_factor,
                               spec->high_freq_factor,
                               spec->beta_fast,
                               spec->beta_slow,
                               spec->attention_factor.value_or(0.0),
                               spec->mscale.value_or(0.0),
                               spec->mscale_all_dim.value_or(0.0)}) {
      number(value);
    }
    list(spec->short_factors);
    list(spec->long_factors);
    list(spec->frequency_divisors);
  }

  void dms(const DmsSpec& spec) {
    for (const int64_t value : {static_cast<int64_t>(spec.source),
                                spec.decision_shift,
                                static_cast<int64_t>(spec.zero_after_rope),
                                static_cast<int64_t>(spec.per_layer),
                                static_cast<int64_t>(spec.disable_eviction),
                                spec.window,
                                spec.sinks}) {
      whole(value);
    }
    number(spec.alpha_scale);
    number(spec.alpha_offset);
  }

  void kvzap(const KvzapSpec& spec) {
    number(spec.threshold);
    whole(spec.window);
    whole(spec.sinks);
  }

  void triattention(const TriattentionSpec& spec) {
    if (spec.means) list(*spec.means);
    if (spec.sizes) list(*spec.sizes);
  }

  uint32_t sum() const { return crc32(std::as_bytes(std::span(out_.data()))); }

 private:
  ByteWriter out_;
};

/// Runs over weights.
class WeightSum {
 public:
  void all(std::span<const float> values) { add(std::as_bytes(values)); }

  void all(const model::NormWeights& norm) {
    all(norm.scale);
    all(norm.bias);
  }

  /// One of each stretch of equal length, at a place that differs from stretch to stretch, so that
  /// no row or column is in all of them.
  void pieces(std::span<const std::byte> bytes) {
    const int64_t stretch = std::ssize(bytes) / kPieces;
    if (stretch <= kPieceBytes) return add(bytes);
    for (int64_t i = 0; i < kPieces; ++i) {
      const uint64_t mixed = (static_cast<uint64_t>(i) * kMixer) >> 32U;
      const int64_t at = i * stretch + static_cast<int64_t>(mixed) % (stretch - kPieceBytes);
      add(bytes.subspan(static_cast<size_t>(at), static_cast<size_t>(kPieceBytes)));
    }
  }

  void pieces(const kernels::PackedMatrix& matrix) {
    if (matrix.rows() == 0) return;
    const auto bytes = static_cast<size_t>(matrix.panels() * matrix.panel_bytes());
    pieces(std::span(matrix.panel(0).data(), bytes));
  }

  void pieces(const model::LinearWeights& layer) {
    pieces(layer.matrix);
    all(layer.bias);
  }

  uint32_t sum() const { return sum_; }

 private:
  void add(std::span<const std::byte> bytes) { sum_ = crc32(bytes, sum_); }

  uint32_t sum_ = 0;
};

void add_layer(const model::LayerWeights& layer, WeightSum& sum) {
  for (const model::NormWeights* norm :
       {&layer.attention_norm, &layer.attention_post_norm, &layer.mlp_norm, &layer.mlp_post_norm}) {
    sum.all(*norm);
  }
  for (const model::LinearWeights* linear :
       {&layer.qkv, &layer.attention_output, &layer.mlp_in, &layer.mlp_out}) {
    sum.pieces(*linear);
  }
  for (const std::vector<float>* part : {&layer.q_norm,
                                         &layer.k_norm,
                                         &layer.alpha_norm,
                                         &layer.alpha,
                                         &layer.alpha_bias,
                                         &layer.decision_rows,
                                         &layer.kvzap.hidden_bias,
                                         &layer.kvzap.scores,
                                         &layer.kvzap.bias}) {
    sum.all(*part);
  }
  sum.pieces(layer.kvzap.hidden);
}

}  // namespace

uint32_t sum_of(const ModelSpec& spec) {
  SpecBytes bytes;
  for (const int64_t value : {spec.ffn,
                              spec.embedding_dim,
                              static_cast<int64_t>(spec.norm),
                              static_cast<int64_t>(spec.qk_norm),
                              static_cast<int64_t>(spec.qk_norm_whole),
                              static_cast<int64_t>(spec.norm_after),
                              static_cast<int64_t>(spec.post_norms),
                              static_cast<int64_t>(spec.parallel_residual),
                              static_cast<int64_t>(spec.shared_norm),
                              static_cast<int64_t>(spec.position),
                              spec.learned_position_offset,
                              static_cast<int64_t>(spec.alibi_in_bf16),
                              static_cast<int64_t>(spec.gated_mlp),
                              static_cast<int64_t>(spec.activation),
                              static_cast<int64_t>(spec.has_final_norm)}) {
    bytes.whole(value);
  }
  for (const double value : {spec.norm_eps,
                             static_cast<double>(spec.query_scale()),
                             spec.attention_soft_cap,
                             spec.qkv_clip,
                             spec.embedding_scale,
                             spec.logit_soft_cap}) {
    bytes.number(value);
  }
  bytes.list(spec.alibi_slopes);
  for (int64_t layer = 0; layer < spec.layers; ++layer) {
    bytes.whole(spec.sliding_window_at(layer));
    bytes.rope(spec.rope_at(layer));
  }
  if (spec.dms) bytes.dms(*spec.dms);
  if (spec.kvzap) bytes.kvzap(*spec.kvzap);
  if (spec.triattention) bytes.triattention(*spec.triattention);
  return bytes.sum();
}

uint32_t sum_of(const model::DecoderWeights& weights) {
  WeightSum sum;
  sum.pieces(weights.embedding);
  sum.pieces(weights.head);
  sum.pieces(weights.embedding_projection);
  sum.pieces(weights.head_projection);
  sum.pieces(std::as_bytes(std::span(weights.positions)));
  for (const model::LayerWeights& layer : weights.layers) add_layer(layer, sum);
  sum.all(weights.final_norm);
  return sum.sum();
}

}  // namespace dms::cpu
