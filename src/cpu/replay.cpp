#include "cpu/replay.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <exception>
#include <limits>
#include <ranges>
#include <utility>

#include "base/check.h"
#include "base/parallel.h"
#include "kernels/attention_peaks.h"

namespace dms::cpu {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();
constexpr float kLeastNorm = 1e-20f;  // of what attention reads: a row of zeros has no log

/// Tokens of a pass.
constexpr int64_t kPass = 512;

float norm(std::span<const float> row) {
  double sum = 0;
  for (const float x : row) sum += static_cast<double>(x) * x;
  return static_cast<float>(std::sqrt(sum));
}

template <typename T>
void append(const T& values, std::vector<std::ranges::range_value_t<T>>& to) {
  to.insert(to.end(), values.begin(), values.end());
}

}  // namespace

void read_text(CpuModel& model,
               engine::SequenceState& sequence,
               std::span<const int32_t> ids,
               int64_t length) {
  for (int64_t first = 0; first < std::ssize(ids); first += kPass) {
    const int64_t count = std::min(kPass, std::ssize(ids) - first);
    const std::array parts{
        engine::Part{.sequence = &sequence,
                     .ids = ids.subspan(static_cast<size_t>(first), static_cast<size_t>(count)),
                     .length = length}};
    model.forward(parts);
    if (const auto failure = sequence.failure()) std::rethrow_exception(failure);
  }
}

/// Looks at what the model computes until it goes, also when an error passes by.
class Replay::Watching {
 public:
  explicit Watching(Replay& replay) : replay_(replay) {
    replay.model_.watch(
        [&replay](int64_t layer, model::LinearInput input, std::span<const float> rows) {
          if (input == model::LinearInput::qkv) replay.take_inputs(layer, rows);
        });
    replay.model_.watch_chunks(
        [&replay](const cache::LayerChunk& chunk) { replay.take_chunk(chunk); });
  }
  Watching(const Watching&) = delete;
  Watching& operator=(const Watching&) = delete;
  ~Watching() {
    replay_.model_.watch({});
    replay_.model_.watch_chunks({});
    replay_.branch_.reset();
  }

 private:
  Replay& replay_;
};

Replay::Replay(CpuModel& model, const ModelSpec& spec, ReplayPrompt prompt, ReplayScore score)
    : model_(model),
      spec_(spec),
      alibi_{.slopes = spec.alibi_slopes, .bf16_products = spec.alibi_in_bf16},
      prompt_(std::move(prompt)),
      score_(score),
      products_(static_cast<size_t>(spec.layers)) {}

std::vector<int32_t> Replay::repetition(std::span<const int32_t> ids, int64_t first) const {
  std::vector<int32_t> asked = chunk_begin_ == first ? prompt_.whole : prompt_.part;
  const auto add = [&](std::span<const int32_t> more) {
    asked.insert(asked.end(), more.begin(), more.end());
  };
  const int64_t reminder = std::min(ReplayPrompt::kReminder, chunk_begin_ - first);
  add(ids.subspan(static_cast<size_t>(chunk_begin_ - reminder), static_cast<size_t>(reminder)));
  add(prompt_.answer);
  add(ids.subspan(static_cast<size_t>(chunk_begin_),
                  static_cast<size_t>(chunk_end_ - chunk_begin_)));
  return asked;
}

Replay::Layer* Replay::layer_of(int64_t layer) {
  if (layer < layers_.begin || layer >= layers_.end) return nullptr;
  return &state_[static_cast<size_t>(layer - layers_.begin)];
}

void Replay::take_inputs(int64_t layer, std::span<const float> rows) {
  Layer* state = layer_of(layer);
  if (state == nullptr) return;
  if (branch_ == nullptr) {
    append(rows, state->inputs);
    return;
  }
  const auto hidden = static_cast<size_t>(spec_.hidden);
  offsets_.assign(rows.size() / hidden, 0.0f);
  if (score_ == ReplayScore::attention) return;
  for (size_t i = 0; i < offsets_.size(); ++i) {
    offsets_[i] = -std::log(std::max(norm(rows.subspan(i * hidden, hidden)), kLeastNorm));
  }
}

/// |v W|^2 = v (W W^T) v^T, of a query head's slice W of the output projection, transposed as it is
/// stored.
std::span<const float> Replay::output_products(int64_t layer, int64_t q_head) {
  const int64_t d = spec_.head_dim;
  std::vector<float>& products = products_[static_cast<size_t>(layer)];
  if (products.empty()) {
    products.assign(static_cast<size_t>(spec_.q_heads * d * d), 0.0f);
    const kernels::PackedMatrix& matrix =
        model_.weights().layers[static_cast<size_t>(layer)].attention_output.matrix;
    std::vector<float> rows(static_cast<size_t>(spec_.hidden * matrix.columns()));
    parallel_for(spec_.hidden, 16, [&](int64_t r) {
      matrix.get_row(r,
                     std::span(rows).subspan(static_cast<size_t>(r * matrix.columns()),
                                             static_cast<size_t>(matrix.columns())));
    });
    parallel_for(spec_.q_heads * d, 4, [&](int64_t i) {  // row i % d of head i / d
      float* sums = products.data() + i * d;
      for (int64_t r = 0; r < spec_.hidden; ++r) {
        const float* weights = rows.data() + r * matrix.columns();
        const float* head = weights + i / d * d;
        for (int64_t j = 0; j < d; ++j) sums[j] += weights[i] * head[j];
      }
    });
  }
  return std::span(products).subspan(static_cast<size_t>(q_head * d * d),
                                     static_cast<size_t>(d * d));
}

/// Of values of one head's entries.
void Replay::take_sizes(std::span<const float> values, int64_t layer, int64_t head, Head& into) {
  const int64_t d = spec_.head_dim;
  const int64_t count = std::ssize(into.positions);
  into.size_logs.resize(static_cast<size_t>(spec_.group() * count));
  for (int64_t g = 0; g < spec_.group(); ++g) {
    const std::span<const float> products = output_products(layer, head * spec_.group() + g);
    parallel_for(count, 16, [&](int64_t i) {
      const float* value = values.data() + i * d;
      double sum = 0;
      for (int64_t row = 0; row < d; ++row) {
        float product = 0.0f;
        for (int64_t j = 0; j < d; ++j) {
          product += products[static_cast<size_t>(row * d + j)] * value[j];
        }
        sum += static_cast<double>(value[row]) * product;
      }
      into.size_logs[static_cast<size_t>(g * count + i)] =
          static_cast<float>(0.5 * std::log(std::max(sum, 0.0)));
    });
  }
}

/// Of what was read before the repetition.
cache::StoredRows Replay::rows(
    int64_t layer, int64_t index, int64_t begin, int64_t end, bool with_values) const {
  const size_t at = static_cast<size_t>(layer - layers_.begin);
  const cache::StoredRows& context = state_[at].heads[static_cast<size_t>(index)].context;
  if (context.positions.empty()) {
    const cache::SequenceCache& cache = static_cast<const CpuSequence&>(*branch_).cache();
    return cache.seen_rows(layer, index, begin, end, with_values);
  }
  const auto part_of = [&](const auto& all, int64_t width) {
    const auto first = all.begin() + begin * width;
    return std::vector(first, first + (end - begin) * width);
  };
  return {.positions = part_of(context.positions, 1),
          .keys = part_of(context.keys, spec_.head_dim),
          .values = with_values ? part_of(context.values, spec_.head_dim) : std::vector<float>{}};
}

/// Gathers what each pass of the repetition attends: while it goes on, the branch frees what leaves
/// a sliding window.
void Replay::begin_chunk() {
  const bool with_sizes = score_ == ReplayScore::output;
  for (size_t i = 0; i < state_.size(); ++i) {
    const int64_t layer = layers_.begin + static_cast<int64_t>(i);
    for (int64_t index = 0; index < spec_.kv_heads; ++index) {
      Head& head = state_[i].heads[static_cast<size_t>(index)];
      cache::StoredRows sinks = rows(layer, index, 0, std::min(kSinks, chunk_begin_), false);
      head.keys = std::move(sinks.keys);
      head.places = std::move(sinks.positions);
      head.sinks = std::ssize(head.places);
      cache::StoredRows chunk = rows(layer, index, chunk_begin_, chunk_end_, with_sizes);
      head.positions = std::move(chunk.positions);
      append(chunk.keys, head.keys);
      append(head.positions, head.places);
      head.peaks.assign(static_cast<size_t>(spec_.group()) * head.positions.size(), kNone);
      if (with_sizes) take_sizes(chunk.values, layer, index, head);
    }
  }
}

void Replay::take_chunk(const cache::LayerChunk& chunk) {
  Layer* state = layer_of(chunk.layer);
  if (state == nullptr) return;
  for (int64_t index = 0; index < spec_.kv_heads; ++index) {
    Head& head = state->heads[static_cast<size_t>(index)];
    if (branch_ == nullptr) {
      keep_context(chunk, index, head.context);
    } else if (!head.positions.empty()) {
      raise_peaks(chunk, index, head);
    }
  }
}

void Replay::keep_context(const cache::LayerChunk& chunk,
                          int64_t index,
                          cache::StoredRows& context) const {
  const auto d = static_cast<size_t>(spec_.head_dim);
  for (int64_t i = 0; i < chunk.count; ++i) {
    const size_t at = static_cast<size_t>(i * chunk.token_stride) + static_cast<size_t>(index) * d;
    context.positions.push_back(static_cast<int32_t>(context.positions.size()));
    append(chunk.keys.subspan(at, d), context.keys);
    if (score_ == ReplayScore::output) append(chunk.values.subspan(at, d), context.values);
  }
}

void Replay::raise_peaks(const cache::LayerChunk& chunk, int64_t index, Head& head) const {
  const auto d = static_cast<size_t>(spec_.head_dim);
  const auto width = static_cast<size_t>(spec_.group()) * d;
  const auto shared = std::ssize(head.places);
  const int64_t first = branch_->tokens();  // position of the first query
  std::vector<float> queries;
  for (int64_t i = 0; i < chunk.count; ++i) {
    head.places.push_back(static_cast<int32_t>(first + i));
    const auto at = static_cast<size_t>(i * chunk.token_stride);
    append(chunk.queries.subspan(at + static_cast<size_t>(index) * width, width), queries);
    append(chunk.keys.subspan(at + static_cast<size_t>(index) * d, d), head.keys);
  }
  const std::vector<float> biases =
      kernels::group_alibi_biases(alibi_, index * spec_.group(), spec_.group(), first, head.places);
  kernels::attention_peaks({.keys = head.keys,
                            .queries = queries,
                            .offsets = offsets_,
                            .biases = biases,
                            .shared = shared,
                            .first = head.sinks,
                            .head_dim = spec_.head_dim,
                            .group = spec_.group(),
                            .scale = spec_.query_scale(),
                            .soft_cap = static_cast<float>(spec_.attention_soft_cap)},
                           head.peaks);
}

/// The best that any of the group's heads has given.
void Replay::finish_chunk(std::span<float> scores, int64_t first, int64_t count) const {
  float* out = scores.data() - first;
  for (const Layer& layer : state_) {
    for (const Head& head : layer.heads) {
      const size_t entries = head.positions.size();
      for (size_t i = 0; i < head.peaks.size(); ++i) {
        const float size = head.size_logs.empty() ? 0.0f : head.size_logs[i];
        float& best = out[head.positions[i % entries]];
        best = std::max(best, head.peaks[i] + size);
      }
      out += count;
    }
  }
}

std::vector<float> Replay::repeat(const CpuSequence& sequence,
                                  std::span<const int32_t> ids,
                                  int64_t first,
                                  int64_t length,
                                  ReplayLayers layers) {
  begin(layers);
  return repeat_chunks(sequence, ids, first, length);
}

void Replay::begin(ReplayLayers layers) {
  layers_ = layers;
  state_.assign(static_cast<size_t>(layers.end - layers.begin),
                {.inputs = {}, .heads = std::vector<Head>(static_cast<size_t>(spec_.kv_heads))});
}

std::vector<float> Replay::repeat_chunks(const CpuSequence& sequence,
                                         std::span<const int32_t> ids,
                                         int64_t first,
                                         int64_t length) {
  tokens_ = std::ssize(ids);
  const int64_t count = tokens_ - first;
  std::vector<float> scores(state_.size() * static_cast<size_t>(spec_.kv_heads * count), kNone);
  const Watching watching(*this);
  for (chunk_begin_ = first; chunk_begin_ < tokens_; chunk_begin_ = chunk_end_) {
    chunk_end_ = std::min(chunk_begin_ + prompt_.chunk, tokens_);
    branch_ = sequence.fork();
    static_cast<CpuSequence&>(*branch_).cache().forget_later_plans();
    begin_chunk();
    read_text(model_, *branch_, repetition(ids, first), length);
    finish_chunk(scores, first, count);
  }
  return scores;
}

std::vector<float> Replay::run(std::span<const int32_t> context, ReplayLayers layers) {
  begin(layers);
  const int64_t length = tokens_needed(std::ssize(context));
  const auto sequence = model_.new_sequence(model_.plan({.policy = "none"}));
  {
    const Watching watching(*this);
    read_text(model_, *sequence, context, length);
  }
  return repeat_chunks(static_cast<const CpuSequence&>(*sequence), context, 0, length);
}

std::span<const float> Replay::inputs(int64_t layer) const {
  return state_[static_cast<size_t>(layer - layers_.begin)].inputs;
}

}  // namespace dms::cpu
