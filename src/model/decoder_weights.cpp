#include "model/decoder_weights.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/parallel.h"
#include "kernels/quantise.h"
#include "model/spec/weight_pieces.h"

namespace dms::model {
namespace {

using kernels::kPanelRows;
using kernels::PackedMatrix;
using kernels::WeightFormat;

/// Rows [source_first, source_first + count) of `weight` go to rows [target_first, …) of a matrix.
struct RowRun {
  const WeightName* weight;
  int64_t source_first;
  int64_t target_first;
  int64_t count;
};

/// The codes in which all rows of a matrix are stored.
struct StoredForm {
  WeightFormat format;
  bool minima;
};

class Loader {
 public:
  Loader(const ModelSpec& spec, const WeightSource& source, const WeightStorage& storage)
      : spec_(spec), source_(source), storage_(storage), names_(weight_names(spec)) {
    for (const WeightName& name : names_) by_role_[{name.role, name.layer}] = &name;
  }

  DecoderWeights load();

 private:
  const WeightName* find(WeightRole role, int64_t layer = -1) const {
    const auto it = by_role_.find({role, layer});
    return it == by_role_.end() ? nullptr : it->second;
  }
  const WeightName& get(WeightRole role, int64_t layer = -1) const {
    const WeightName* name = find(role, layer);
    ensure(name != nullptr, "spec lists no such weight");
    return *name;
  }

  std::vector<float> vector_of(WeightRole role, int64_t layer = -1) const;
  std::vector<float> norm_scale(WeightRole role, int64_t layer = -1) const;
  NormWeights norm(WeightRole scale, WeightRole bias, int64_t layer = -1) const;
  std::vector<RowRun> qkv_runs(int64_t layer, bool bias) const;
  std::vector<RowRun> mlp_in_runs(int64_t layer, bool bias) const;
  PackedMatrix pack(const std::vector<RowRun>& runs,
                    int64_t rows,
                    int64_t columns,
                    WeightFormat format) const;
  bool wants_minima(const RowRun& run, int64_t columns, WeightFormat format) const;
  void pack_panel(const std::vector<RowRun>& runs,
                  int64_t panel,
                  bool as_codes,
                  PackedMatrix& matrix) const;
  std::optional<StoredForm> stored_form(const std::vector<RowRun>& runs, WeightFormat format) const;
  void set_codes(const RowRun& run, int64_t panel, PackedMatrix& matrix) const;
  std::vector<float> decision_rows(const std::vector<RowRun>& qkv) const;
  std::vector<float> pack_bias(const std::vector<RowRun>& runs, int64_t rows) const;
  LinearWeights linear(const WeightName& weight, std::vector<float> bias) const;
  PackedMatrix vocabulary(WeightRole role) const;
  KvzapWeights kvzap(int64_t layer) const;
  LayerWeights layer(int64_t index) const;

  const ModelSpec& spec_;
  const WeightSource& source_;
  WeightStorage storage_;
  std::vector<WeightName> names_;
  std::map<std::pair<WeightRole, int64_t>, const WeightName*> by_role_;
};

std::vector<float> Loader::vector_of(WeightRole role, int64_t layer) const {
  const WeightName* weight = find(role, layer);
  if (weight == nullptr) return {};
  std::vector<float> values(static_cast<size_t>(element_count(*weight)));
  source_.read_rows(*weight, 0, weight->shape.size() == 1 ? 1 : weight->shape[0], values);
  return values;
}

std::vector<float> Loader::norm_scale(WeightRole role, int64_t layer) const {
  std::vector<float> scale = vector_of(role, layer);
  for (float& value : scale) value += static_cast<float>(spec_.norm_offset);
  return scale;
}

NormWeights Loader::norm(WeightRole scale, WeightRole bias, int64_t layer) const {
  return {.scale = norm_scale(scale, layer), .bias = vector_of(bias, layer)};
}

/// Cuts a fused tensor's rows into the packed order [q heads | k heads | v heads].
std::vector<RowRun> Loader::qkv_runs(int64_t layer, bool bias) const {
  const int64_t head_dim = spec_.head_dim;
  const int64_t q_rows = spec_.q_heads * head_dim;
  const int64_t kv_rows = spec_.kv_heads * head_dim;
  const auto role = [&](WeightRole plain, WeightRole with_bias) {
    return &get(bias ? with_bias : plain, layer);
  };
  if (spec_.qkv_layout == QkvLayout::separate) {
    return {{role(WeightRole::q, WeightRole::q_bias), 0, 0, q_rows},
            {role(WeightRole::k, WeightRole::k_bias), 0, q_rows, kv_rows},
            {role(WeightRole::v, WeightRole::v_bias), 0, q_rows + kv_rows, kv_rows}};
  }
  const WeightName* fused = role(WeightRole::qkv, WeightRole::qkv_bias);
  if (spec_.qkv_layout == QkvLayout::concatenated) return {{fused, 0, 0, q_rows + 2 * kv_rows}};
  // per_head is per_group with groups of one: [kv_head][q x group, k, v][head_dim].
  const int64_t group = spec_.group();
  std::vector<RowRun> runs;
  for (int64_t head = 0; head < spec_.kv_heads; ++head) {
    const int64_t from = head * (group + 2) * head_dim;
    runs.push_back({fused, from, head * group * head_dim, group * head_dim});
    runs.push_back({fused, from + group * head_dim, q_rows + head * head_dim, head_dim});
    runs.push_back(
        {fused, from + (group + 1) * head_dim, q_rows + kv_rows + head * head_dim, head_dim});
  }
  return runs;
}

std::vector<RowRun> Loader::mlp_in_runs(int64_t layer, bool bias) const {
  const auto role = [&](WeightRole plain, WeightRole with_bias) {
    if (spec_.fused_gate_up) return &get(WeightRole::gate_up, layer);
    return &get(bias ? with_bias : plain, layer);
  };
  const WeightName* up = role(WeightRole::up, WeightRole::up_bias);
  if (!spec_.gated_mlp) return {{up, 0, 0, spec_.ffn}};
  const WeightName* gate = role(WeightRole::gate, WeightRole::gate_bias);
  const int64_t first_up = spec_.fused_gate_up ? spec_.ffn : 0;
  constexpr int64_t kHalf = kPanelRows / 2;
  std::vector<RowRun> runs;
  for (int64_t first = 0; first < spec_.ffn; first += kHalf) {
    const int64_t count = std::min(kHalf, spec_.ffn - first);
    runs.push_back({gate, first, 2 * first, count});
    runs.push_back({up, first_up + first, 2 * first + kHalf, count});
  }
  return runs;
}

void Loader::pack_panel(const std::vector<RowRun>& runs,
                        int64_t panel,
                        bool as_codes,
                        PackedMatrix& matrix) const {
  thread_local std::vector<float> rows;
  const int64_t begin = panel * kPanelRows;
  const int64_t end = begin + kPanelRows;
  // Runs are ordered by target: the first that reaches into this panel.
  auto run = std::ranges::partition_point(
      runs, [&](const RowRun& r) { return r.target_first + r.count <= begin; });
  for (; run != runs.end() && run->target_first < end; ++run) {
    const int64_t first = std::max(begin, run->target_first);
    const int64_t count = std::min(end, run->target_first + run->count) - first;
    const int64_t source_first = run->source_first + first - run->target_first;
    if (as_codes) {
      set_codes({run->weight, source_first, first - begin, count}, panel, matrix);
      continue;
    }
    rows.resize(static_cast<size_t>(count * matrix.columns()));
    source_.read_rows(*run->weight, source_first, count, rows);
    if (is_quantised(matrix.format())) require_quantisable(*run->weight, rows);
    matrix.set_panel_rows(panel, first - begin, count, rows);
  }
}

/// Nothing where some rows are plain numbers, or in groups that the kernels have no scales for, or
/// of another width than asked for.
std::optional<StoredForm> Loader::stored_form(const std::vector<RowRun>& runs,
                                              WeightFormat format) const {
  if (!is_quantised(format)) return std::nullopt;
  std::optional<StoredForm> form;
  for (const RowRun& run : runs) {
    const std::optional<CodeGroups> groups = source_.code_groups(*run.weight);
    if (!groups || groups->group % kernels::kQuantGroup != 0) return std::nullopt;
    const WeightFormat stored = groups->bits == 4 ? WeightFormat::int4 : WeightFormat::int8;
    if (form && form->format != stored) return std::nullopt;
    form = {.format = stored, .minima = groups->has_minima || (form && form->minima)};
  }
  if (form && form->format != format && !storage_.as_stored) return std::nullopt;
  return form;
}

/// `run`: rows of one weight, and where in the panel they go.
void Loader::set_codes(const RowRun& run, int64_t panel, PackedMatrix& matrix) const {
  const CodeGroups groups = source_.code_groups(*run.weight).value();
  const auto values = static_cast<size_t>(run.count * matrix.columns());
  thread_local std::vector<uint8_t> codes;
  thread_local std::vector<float> scales;
  thread_local std::vector<float> minima;
  codes.resize(values);
  scales.resize(values / static_cast<size_t>(groups.group));
  minima.resize(scales.size());
  source_.read_codes(*run.weight, run.source_first, run.count, {codes, scales, minima});
  matrix.set_panel_rows(panel,
                        run.target_first,
                        {.format = matrix.format(),
                         .group = groups.group,
                         .codes = codes,
                         .scales = scales,
                         .minima = groups.has_minima ? minima : std::span<const float>()});
}

/// Four bits store minima where the matrix asks for them; its first rows speak for it.
bool Loader::wants_minima(const RowRun& run, int64_t columns, WeightFormat format) const {
  if (format != WeightFormat::int4) return false;
  const int64_t count = std::min(kPanelRows, run.count);
  std::vector<float> rows(static_cast<size_t>(count * columns));
  source_.read_rows(*run.weight, run.source_first, count, rows);
  require_quantisable(*run.weight, rows);
  return kernels::gains_from_minima(format, columns, rows);
}

PackedMatrix Loader::pack(const std::vector<RowRun>& unordered,
                          int64_t rows,
                          int64_t columns,
                          WeightFormat format) const {
  std::vector<RowRun> runs = unordered;
  std::ranges::sort(runs, {}, &RowRun::target_first);
  const std::optional<StoredForm> stored = stored_form(runs, format);
  // Where nobody asked for four bits, what is not stored in them does not lose that much.
  if (!stored && storage_.as_stored && is_quantised(format)) format = WeightFormat::int8;
  const StoredForm form =
      stored ? *stored : StoredForm{format, wants_minima(runs.front(), columns, format)};
  PackedMatrix matrix(form.format, rows, columns, form.minima);
  parallel_for(matrix.panels(), 1, [&](int64_t panel) {
    pack_panel(runs, panel, stored.has_value(), matrix);
  });
  return matrix;
}

std::vector<float> Loader::pack_bias(const std::vector<RowRun>& runs, int64_t rows) const {
  std::vector<float> bias(static_cast<size_t>(round_up(rows, kPanelRows)), 0.0f);
  std::map<const WeightName*, std::vector<float>> sources;
  for (const RowRun& run : runs) {
    std::vector<float>& values = sources[run.weight];
    if (values.empty()) {
      values.resize(static_cast<size_t>(element_count(*run.weight)));
      source_.read_rows(*run.weight, 0, 1, values);
    }
    std::copy_n(values.begin() + run.source_first, run.count, bias.begin() + run.target_first);
  }
  bias.resize(static_cast<size_t>(rows));
  return bias;
}

LinearWeights Loader::linear(const WeightName& weight, std::vector<float> bias) const {
  const int64_t rows = weight.shape[0];
  return {.matrix = pack({{&weight, 0, 0, rows}}, rows, weight.shape[1], storage_.format),
          .bias = std::move(bias)};
}

/// The head or the embedding: a token has no second chance there, so four bits are too few.
PackedMatrix Loader::vocabulary(WeightRole role) const {
  const WeightName& name = get(role);
  const WeightFormat format =
      storage_.format == WeightFormat::int4 ? WeightFormat::int8 : storage_.format;
  return pack({{&name, 0, 0, name.shape[0]}}, name.shape[0], name.shape[1], format);
}

std::vector<float> Loader::decision_rows(const std::vector<RowRun>& qkv) const {
  const bool are_borrowed = spec_.dms && spec_.dms->source == DmsSource::neuron;
  if (!are_borrowed || !is_quantised(storage_.format)) return {};
  std::vector<float> rows(static_cast<size_t>(spec_.kv_heads * spec_.hidden));
  for (int64_t head = 0; head < spec_.kv_heads; ++head) {
    const int64_t target = borrowed_channel(spec_, head);
    const auto run = std::ranges::find_if(qkv, [&](const RowRun& r) {
      return r.target_first <= target && target < r.target_first + r.count;
    });
    const auto hidden = static_cast<size_t>(spec_.hidden);
    source_.read_rows(*run->weight,
                      run->source_first + target - run->target_first,
                      1,
                      std::span(rows).subspan(static_cast<size_t>(head) * hidden, hidden));
  }
  return rows;
}

KvzapWeights Loader::kvzap(int64_t layer) const {
  KvzapWeights weights{.hidden = {},
                       .hidden_bias = vector_of(WeightRole::kvzap_hidden_bias, layer),
                       .scores = vector_of(WeightRole::kvzap, layer),
                       .bias = vector_of(WeightRole::kvzap_bias, layer)};
  if (const WeightName* hidden = find(WeightRole::kvzap_hidden, layer)) {
    const int64_t rows = hidden->shape[0];
    weights.hidden = pack({{hidden, 0, 0, rows}}, rows, hidden->shape[1], WeightFormat::f32);
  }
  return weights;
}

LayerWeights Loader::layer(int64_t index) const {
  const int64_t qkv_rows = (spec_.q_heads + 2 * spec_.kv_heads) * spec_.head_dim;
  const std::vector<RowRun> mlp_runs = mlp_in_runs(index, false);
  const int64_t mlp_rows = spec_.gated_mlp ? 2 * round_up(spec_.ffn, kPanelRows / 2) : spec_.ffn;
  LayerWeights w;
  w.attention_norm = norm(WeightRole::attention_norm, WeightRole::attention_norm_bias, index);
  const std::vector<RowRun> runs = qkv_runs(index, false);
  w.qkv.matrix = pack(runs, qkv_rows, spec_.hidden, storage_.format);
  w.decision_rows = decision_rows(runs);
  if (spec_.qkv_bias) w.qkv.bias = pack_bias(qkv_runs(index, true), qkv_rows);
  w.q_norm = norm_scale(WeightRole::q_norm, index);
  w.k_norm = norm_scale(WeightRole::k_norm, index);
  w.attention_output = linear(get(WeightRole::attention_output, index),
                              vector_of(WeightRole::attention_output_bias, index));
  w.attention_post_norm.scale = norm_scale(WeightRole::attention_post_norm, index);
  w.mlp_norm = norm(WeightRole::mlp_norm, WeightRole::mlp_norm_bias, index);
  w.mlp_in.matrix = pack(mlp_runs, mlp_rows, spec_.hidden, storage_.format);
  if (spec_.mlp_bias) w.mlp_in.bias = pack_bias(mlp_in_runs(index, true), mlp_rows);
  w.mlp_out = linear(get(WeightRole::down, index), vector_of(WeightRole::down_bias, index));
  w.mlp_post_norm.scale = norm_scale(WeightRole::mlp_post_norm, index);
  w.alpha_norm = vector_of(WeightRole::dms_alpha_norm, index);
  w.alpha = vector_of(WeightRole::dms_alpha, index);
  w.alpha_bias = vector_of(WeightRole::dms_alpha_bias, index);
  w.kvzap = kvzap(index);
  return w;
}

DecoderWeights Loader::load() {
  DecoderWeights weights;
  if (!spec_.tied_head) weights.embedding = vocabulary(WeightRole::embedding);
  for (int64_t i = 0; i < spec_.layers; ++i) weights.layers.push_back(layer(i));
  if (spec_.has_final_norm) {
    weights.final_norm = norm(WeightRole::final_norm, WeightRole::final_norm_bias);
  }
  weights.head = vocabulary(spec_.tied_head ? WeightRole::embedding : WeightRole::head);
  if (spec_.embedding_dim != 0) {
    weights.embedding_projection = linear(get(WeightRole::embedding_projection), {});
    weights.head_projection = linear(get(WeightRole::head_projection), {});
  }
  weights.positions = vector_of(WeightRole::position_embedding);
  return weights;
}

}  // namespace

void DecoderWeights::get_embedding(int64_t token, std::span<float> out) const {
  (embedding.bytes() == 0 ? head : embedding).get_row(token, out);
}

DecoderWeights load_weights(const ModelSpec& spec,
                            const WeightSource& source,
                            const WeightStorage& storage) {
  return Loader(spec, source, storage).load();
}

}  // namespace dms::model
