#include "cpu/replay.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/parallel.h"
#include "kernels/attention_peaks.h"

namespace dms::cpu {
namespace {

constexpr float kLeastNorm = 1e-20f;  // of what attention reads: a row of zeros has no log

/// Tokens of a pass.
constexpr int64_t kPass = 512;

float norm(std::span<const float> row) {
  double sum = 0;
  for (const float x : row) sum += static_cast<double>(x) * x;
  return static_cast<float>(std::sqrt(sum));
}

void append(std::span<const float> values, std::vector<float>& to) {
  to.insert(to.end(), values.begin(), values.end());
}

/// Nobody watches any more once it goes, also when an error passes by.
struct WatchEnd {
  CpuModel& model;
  ~WatchEnd() {
    model.watch({});
    model.watch_chunks({});
  }
};

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
    if (!model.reserve(parts)) throw model.shortage(parts);
    model.forward(parts);
  }
}

Replay::Replay(CpuModel& model, const ModelSpec& spec, ReplayPrompt prompt, ReplayScore score)
    : model_(model),
      spec_(spec),
      prompt_(std::move(prompt)),
      score_(score),
      products_(static_cast<size_t>(spec.layers)) {}

int64_t Replay::tokens_needed(int64_t tokens) const {
  const int64_t asks = std::max(std::ssize(prompt_.whole), std::ssize(prompt_.part) + kReminder);
  return tokens + std::min(tokens, prompt_.chunk) + asks + std::ssize(prompt_.answer);
}

std::vector<int32_t> Replay::repetition(std::span<const int32_t> context, int64_t first) const {
  std::vector<int32_t> ids = first == 0 ? prompt_.whole : prompt_.part;
  const auto add = [&](std::span<const int32_t> more) {
    ids.insert(ids.end(), more.begin(), more.end());
  };
  const int64_t reminder = std::min(kReminder, first);
  add(context.subspan(static_cast<size_t>(first - reminder), static_cast<size_t>(reminder)));
  add(prompt_.answer);
  const int64_t count = std::min(prompt_.chunk, std::ssize(context) - first);
  add(context.subspan(static_cast<size_t>(first), static_cast<size_t>(count)));
  return ids;
}

Replay::Layer* Replay::layer_of(int64_t layer) {
  if (layer < layers_.begin || layer >= layers_.end) return nullptr;
  return &state_[static_cast<size_t>(layer - layers_.begin)];
}

void Replay::take_inputs(int64_t layer, std::span<const float> rows) {
  Layer* state = layer_of(layer);
  if (state == nullptr) return;
  if (!is_replaying_) {
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

/// Values of a chunk of the context in one head.
void Replay::take_sizes(const cache::LayerChunk& chunk, int64_t head, Head& into) {
  const int64_t d = spec_.head_dim;
  const int64_t group = spec_.group();
  into.size_logs.resize(static_cast<size_t>(group * tokens_));
  const int64_t first = std::ssize(into.keys) / d - chunk.count;  // its keys are there already
  for (int64_t g = 0; g < group; ++g) {
    const std::span<const float> products = output_products(chunk.layer, head * group + g);
    parallel_for(chunk.count, 16, [&](int64_t i) {
      const float* value = chunk.values.data() + i * chunk.token_stride + head * d;
      double sum = 0;
      for (int64_t row = 0; row < d; ++row) {
        float product = 0.0f;
        for (int64_t j = 0; j < d; ++j) {
          product += products[static_cast<size_t>(row * d + j)] * value[j];
        }
        sum += static_cast<double>(value[row]) * product;
      }
      into.size_logs[static_cast<size_t>(g * tokens_ + first + i)] =
          static_cast<float>(0.5 * std::log(std::max(sum, 0.0)));
    });
  }
}

void Replay::take_chunk(const cache::LayerChunk& chunk) {
  Layer* state = layer_of(chunk.layer);
  if (state == nullptr) return;
  const auto d = static_cast<size_t>(spec_.head_dim);
  for (int64_t head = 0; head < spec_.kv_heads; ++head) {
    Head& into = state->heads[static_cast<size_t>(head)];
    for (int64_t i = 0; i < chunk.count; ++i) {
      const auto at = static_cast<size_t>(i * chunk.token_stride) + static_cast<size_t>(head) * d;
      append(chunk.keys.subspan(at, d), is_replaying_ ? into.replayed : into.keys);
    }
    if (is_replaying_) {
      raise_peaks(chunk, head, into);
    } else if (score_ == ReplayScore::output) {
      take_sizes(chunk, head, into);
    }
  }
}

void Replay::raise_peaks(const cache::LayerChunk& chunk, int64_t index, Head& head) const {
  const int64_t d = spec_.head_dim;
  const auto width = static_cast<size_t>(spec_.group() * d);
  std::vector<float> queries;
  for (int64_t i = 0; i < chunk.count; ++i) {
    append(chunk.queries.subspan(
               static_cast<size_t>(i * chunk.token_stride) + static_cast<size_t>(index) * width,
               width),
           queries);
  }
  const int64_t sinks = std::min(kSinks, chunk_begin_);
  const std::span<const float> context = head.keys;
  std::vector<float> keys;
  append(context.first(static_cast<size_t>(sinks * d)), keys);
  append(
      context.subspan(static_cast<size_t>(chunk_begin_ * d), static_cast<size_t>(chunk_count_ * d)),
      keys);
  append(head.replayed, keys);
  kernels::attention_peaks({.keys = keys,
                            .queries = queries,
                            .offsets = offsets_,
                            .shared = std::ssize(keys) / d - chunk.count,
                            .first = sinks,
                            .head_dim = d,
                            .group = spec_.group(),
                            .scale = spec_.query_scale()},
                           head.peaks);
}

/// The best that any of the group's heads has given.
void Replay::finish_chunk(std::span<float> scores) {
  for (size_t layer = 0; layer < state_.size(); ++layer) {
    for (size_t head = 0; head < state_[layer].heads.size(); ++head) {
      const Head& from = state_[layer].heads[head];
      const auto row = static_cast<int64_t>(layer * state_[layer].heads.size() + head);
      float* out = scores.data() + row * tokens_ + chunk_begin_;
      for (int64_t i = 0; i < spec_.group() * chunk_count_; ++i) {
        const int64_t g = i / chunk_count_;
        const int64_t place = i % chunk_count_;
        float score = from.peaks[static_cast<size_t>(i)];
        if (!from.size_logs.empty()) {
          score += from.size_logs[static_cast<size_t>(g * tokens_ + chunk_begin_ + place)];
        }
        out[place] = std::max(out[place], score);
      }
    }
  }
}

std::vector<float> Replay::run(std::span<const int32_t> context, ReplayLayers layers) {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  layers_ = layers;
  tokens_ = std::ssize(context);
  state_.assign(static_cast<size_t>(layers.end - layers.begin), {});
  for (Layer& layer : state_) layer.heads.resize(static_cast<size_t>(spec_.kv_heads));
  std::vector<float> scores(state_.size() * static_cast<size_t>(spec_.kv_heads * tokens_), kNone);

  const WatchEnd end{model_};
  model_.watch([this](int64_t layer, model::LinearInput input, std::span<const float> rows) {
    if (input == model::LinearInput::qkv) take_inputs(layer, rows);
  });
  model_.watch_chunks([this](const cache::LayerChunk& chunk) { take_chunk(chunk); });
  const int64_t length = tokens_needed(tokens_);
  const auto sequence = model_.new_sequence(model_.plan({.policy = "none"}));
  is_replaying_ = false;
  read_text(model_, *sequence, context, length);
  is_replaying_ = true;
  for (chunk_begin_ = 0; chunk_begin_ < tokens_; chunk_begin_ += prompt_.chunk) {
    chunk_count_ = std::min(prompt_.chunk, tokens_ - chunk_begin_);
    for (Layer& layer : state_) {
      for (Head& head : layer.heads) {
        head.replayed.clear();
        head.peaks.assign(static_cast<size_t>(spec_.group() * chunk_count_), kNone);
      }
    }
    const auto branch = sequence->fork();
    read_text(model_, *branch, repetition(context, chunk_begin_), length);
    finish_chunk(scores);
  }
  return scores;
}

std::span<const float> Replay::inputs(int64_t layer) const {
  return state_[static_cast<size_t>(layer - layers_.begin)].inputs;
}

}  // namespace dms::cpu
