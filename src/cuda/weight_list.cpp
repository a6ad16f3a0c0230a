#include "cuda/weight_list.h"

#include "base/check.h"
#include "cuda/weight_rows.h"

namespace dms::cuda {
namespace {

using kernels::PackedMatrix;

constexpr size_t kAlignment = 256;

/// Gives out memory in order; with a null base only counts.
class Arena {
 public:
  explicit Arena(std::byte* base) : base_(base) {}

  std::byte* take(size_t bytes) {
    std::byte* taken = base_ == nullptr ? nullptr : base_ + used_;
    used_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return taken;
  }
  size_t used() const { return used_; }

 private:
  std::byte* base_;
  size_t used_ = 0;
};

void place_matrix(MatrixView& view, Arena& arena) {
  const RowBytes bytes = row_bytes(view.format, view.columns);
  const auto rows = static_cast<size_t>(view.rows);
  view.data = arena.take(rows * bytes.data);
  if (view.format == MatrixFormat::fp8) {
    view.scales = reinterpret_cast<const float*>(arena.take(rows * bytes.scales));
  } else if (view.format == MatrixFormat::int4) {
    view.group_scales = reinterpret_cast<const __half*>(arena.take(rows * bytes.scales));
    view.group_minima = reinterpret_cast<const __half*>(arena.take(rows * bytes.minima));
  }
}

size_t place_all(const WeightList& list, std::byte* base) {
  Arena arena(base);
  for (const MatrixItem& item : list.matrices) place_matrix(*item.view, arena);
  for (const VectorItem& item : list.vectors) {
    const auto count = static_cast<size_t>(item.count);
    *item.view = reinterpret_cast<const float*>(arena.take(count * sizeof(float)));
  }
  return arena.used();
}

/// Fills a WeightList item by item.
class Lister {
 public:
  Lister(const ModelSpec& spec, MatrixFormat format, WeightList& list)
      : spec_(spec), format_(format), list_(list) {}

  void list(const model::DecoderWeights& source, DeviceWeights& weights);
  void list_generated(DeviceWeights& weights);

 private:
  void matrix(MatrixView& view, MatrixFormat format, int64_t rows, int64_t columns);
  void matrix(MatrixView& view, MatrixFormat format, const PackedMatrix& source);
  void vector(const float*& view, std::span<const float> source);
  void constant(const float*& view, bool is_there, int64_t count, float value);
  void linear(DeviceLinear& to, const model::LinearWeights& source);
  void linear(DeviceLinear& to, int64_t rows, int64_t columns, bool has_bias);
  void norm(DeviceNorm& to, const model::NormWeights& source);
  void norm(DeviceNorm& to);
  void layer(DeviceLayer& to, const model::LayerWeights& source);
  void layer(DeviceLayer& to);
  void kvzap(DeviceKvzap& to, const model::KvzapWeights& source);
  void decision_rows(DeviceLayer& to, const model::LayerWeights& source);
  bool is_neuron() const { return spec_.dms && spec_.dms->source == DmsSource::neuron; }
  /// int4 of what is int4 alone.
  MatrixFormat format_of(const PackedMatrix& source) const {
    const bool is_other = source.format() != kernels::WeightFormat::int4;
    return format_ == MatrixFormat::int4 && is_other ? MatrixFormat::bf16 : format_;
  }

  const ModelSpec& spec_;
  MatrixFormat format_;
  WeightList& list_;
};

void Lister::matrix(MatrixView& view, MatrixFormat format, int64_t rows, int64_t columns) {
  ensure(columns % 32 == 0, "a matrix whose columns are no multiple of 32");
  view = {.format = format,
          .rows = static_cast<int32_t>(rows),
          .columns = static_cast<int32_t>(columns)};
  list_.matrices.push_back({.view = &view});
}

void Lister::matrix(MatrixView& view, MatrixFormat format, const PackedMatrix& source) {
  matrix(view, format, source.rows(), source.columns());
  list_.matrices.back().source = &source;
}

void Lister::vector(const float*& view, std::span<const float> source) {
  if (source.empty()) return;
  list_.vectors.push_back({.view = &view, .source = source, .count = std::ssize(source)});
}

void Lister::constant(const float*& view, bool is_there, int64_t count, float value) {
  if (is_there) list_.vectors.push_back({.view = &view, .count = count, .value = value});
}

void Lister::linear(DeviceLinear& to, const model::LinearWeights& source) {
  matrix(to.matrix, format_of(source.matrix), source.matrix);
  vector(to.bias, source.bias);
}

void Lister::linear(DeviceLinear& to, int64_t rows, int64_t columns, bool has_bias) {
  matrix(to.matrix, format_, rows, columns);
  constant(to.bias, has_bias, rows, 0.0f);
}

void Lister::norm(DeviceNorm& to, const model::NormWeights& source) {
  vector(to.scale, source.scale);
  vector(to.bias, source.bias);
}

void Lister::norm(DeviceNorm& to) {
  constant(to.scale, true, spec_.hidden, 1.0f);
  constant(to.bias, spec_.norm_has_bias, spec_.hidden, 0.0f);
}

void Lister::kvzap(DeviceKvzap& to, const model::KvzapWeights& source) {
  if (source.hidden.bytes() != 0) {
    std::vector<float> rows(static_cast<size_t>(source.hidden.rows() * source.hidden.columns()));
    const auto columns = static_cast<size_t>(source.hidden.columns());
    for (int64_t row = 0; row < source.hidden.rows(); ++row) {
      source.hidden.get_row(row,
                            std::span(rows).subspan(static_cast<size_t>(row) * columns, columns));
    }
    list_.owned.push_back(std::move(rows));
    vector(to.hidden, list_.owned.back());
  }
  vector(to.hidden_bias, source.hidden_bias);
  vector(to.scores, source.scores);
  vector(to.bias, source.bias);
}

/// Decisions are taken from these, whatever computes the product: in one order of summation.
void Lister::decision_rows(DeviceLayer& to, const model::LayerWeights& source) {
  if (!is_neuron()) return;
  if (!source.decision_rows.empty()) return vector(to.decision_rows, source.decision_rows);
  const auto hidden = static_cast<size_t>(spec_.hidden);
  std::vector<float> rows(static_cast<size_t>(spec_.kv_heads) * hidden);
  for (int64_t head = 0; head < spec_.kv_heads; ++head) {
    source.qkv.matrix.get_row(model::borrowed_channel(spec_, head),
                              std::span(rows).subspan(static_cast<size_t>(head) * hidden, hidden));
  }
  list_.owned.push_back(std::move(rows));
  vector(to.decision_rows, list_.owned.back());
}

void Lister::layer(DeviceLayer& to, const model::LayerWeights& source) {
  norm(to.attention_norm, source.attention_norm);
  linear(to.qkv, source.qkv);
  vector(to.q_norm, source.q_norm);
  vector(to.k_norm, source.k_norm);
  linear(to.attention_output, source.attention_output);
  norm(to.mlp_norm, source.mlp_norm);
  linear(to.mlp_in, source.mlp_in);
  linear(to.mlp_out, source.mlp_out);
  vector(to.alpha_norm, source.alpha_norm);
  vector(to.alpha, source.alpha);
  vector(to.alpha_bias, source.alpha_bias);
  decision_rows(to, source);
  kvzap(to.kvzap, source.kvzap);
}

void Lister::layer(DeviceLayer& to) {
  const int64_t q_width = spec_.q_heads * spec_.head_dim;
  const int64_t kv_width = spec_.kv_heads * spec_.head_dim;
  const bool is_adapter = spec_.dms && !is_neuron();
  norm(to.attention_norm);
  linear(to.qkv, q_width + 2 * kv_width, spec_.hidden, spec_.qkv_bias);
  constant(to.q_norm, spec_.qk_norm, spec_.head_dim, 1.0f);
  constant(to.k_norm, spec_.qk_norm, spec_.head_dim, 1.0f);
  linear(to.attention_output, spec_.hidden, q_width, spec_.output_bias);
  norm(to.mlp_norm);
  linear(to.mlp_in, spec_.gated_mlp ? 2 * spec_.ffn : spec_.ffn, spec_.hidden, spec_.mlp_bias);
  linear(to.mlp_out, spec_.hidden, spec_.ffn, spec_.mlp_bias);
  constant(to.alpha_norm, is_adapter, spec_.hidden, 1.0f);
  constant(to.alpha, is_adapter, spec_.kv_heads * spec_.hidden, 0.0f);
  constant(to.alpha_bias, is_adapter && spec_.dms->alpha_bias, spec_.kv_heads, 0.0f);
  constant(to.decision_rows, is_neuron(), spec_.kv_heads * spec_.hidden, 0.0f);
  if (!spec_.kvzap) return;
  const int64_t hidden = spec_.kvzap->hidden;
  constant(to.kvzap.hidden, hidden != 0, hidden * spec_.hidden, 0.0f);
  constant(to.kvzap.hidden_bias, hidden != 0, hidden, 0.0f);
  constant(to.kvzap.scores, true, spec_.kv_heads * (hidden != 0 ? hidden : spec_.hidden), 0.0f);
  constant(to.kvzap.bias, true, spec_.kv_heads, 0.0f);
}

void Lister::list(const model::DecoderWeights& source, DeviceWeights& weights) {
  const bool is_tied = source.embedding.bytes() == 0;
  const MatrixFormat head = format_of(source.head);
  list_.shares_embedding = is_tied && head == MatrixFormat::bf16;
  matrix(weights.embedding, MatrixFormat::bf16, is_tied ? source.head : source.embedding);
  if (!list_.shares_embedding) matrix(weights.head, head, source.head);
  norm(weights.final_norm, source.final_norm);
  weights.layers.resize(source.layers.size());
  for (size_t i = 0; i < source.layers.size(); ++i) layer(weights.layers[i], source.layers[i]);
}

void Lister::list_generated(DeviceWeights& weights) {
  const MatrixFormat head = format_ == MatrixFormat::int4 ? MatrixFormat::bf16 : format_;
  list_.shares_embedding = spec_.tied_head && head == MatrixFormat::bf16;
  matrix(weights.embedding, MatrixFormat::bf16, spec_.vocab, spec_.hidden);
  if (!list_.shares_embedding) matrix(weights.head, head, spec_.vocab, spec_.hidden);
  if (spec_.has_final_norm) norm(weights.final_norm);
  weights.layers.resize(static_cast<size_t>(spec_.layers));
  for (DeviceLayer& to : weights.layers) layer(to);
}

}  // namespace

WeightList list_weights(const ModelSpec& spec,
                        const model::DecoderWeights& source,
                        MatrixFormat format,
                        DeviceWeights& weights) {
  WeightList list;
  Lister(spec, format, list).list(source, weights);
  return list;
}

WeightList list_shapes(const ModelSpec& spec, MatrixFormat format, DeviceWeights& weights) {
  WeightList list;
  Lister(spec, format, list).list_generated(weights);
  return list;
}

size_t total_bytes(const WeightList& list) { return place_all(list, nullptr); }

void place(const WeightList& list, std::byte* base, DeviceWeights& weights) {
  place_all(list, base);
  if (list.shares_embedding) weights.head = weights.embedding;
}

}  // namespace dms::cuda
