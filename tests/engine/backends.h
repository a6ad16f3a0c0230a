#pragma once
// The models that the engine's tests run on: one that follows a script, a plain one and the CPU's.
// What any of them answers is known from running it alone.

#include <algorithm>
#include <memory>
#include <ostream>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "cpu/cpu_model.h"
#include "dms/error.h"
#include "engine/model.h"
#include "model/spec/families/family.h"
#include "model/spec/load.h"
#include "support/plain_model.h"
#include "support/scripted_model.h"

namespace dms::engine {

constexpr int64_t kVocab = 100;
constexpr int64_t kContext = 64;

enum class BackendKind { scripted, plain, cpu };

inline std::string backend_name(BackendKind kind) {
  switch (kind) {
    case BackendKind::scripted:
      return "scripted";
    case BackendKind::plain:
      return "plain";
    case BackendKind::cpu:
      return "cpu";
  }
  return {};
}

inline void PrintTo(BackendKind kind, std::ostream* os) { *os << backend_name(kind); }

/// Two layers that evict about every other token beyond the last six. `border`: of a RoPE fixed
/// for no more than this; 0: none.
inline ModelSpec backend_spec(int64_t border) {
  ModelSpec spec;
  spec.model_type = "llama";
  spec.layers = 2;
  spec.hidden = 40;
  spec.q_heads = 4;
  spec.kv_heads = 2;
  spec.head_dim = 16;
  spec.ffn = 56;
  spec.vocab = kVocab;
  spec.context = kContext;
  spec.rope.rotary_dim = spec.head_dim;
  if (border > 0) {
    spec.rope.scaling = RopeScaling::dynamic;
    spec.rope.factor = 4.0;
    spec.rope.original_context = border;
  }
  spec.weight_patterns = families::llama_weight_patterns();
  spec.dms = DmsSpec{.source = DmsSource::adapter, .decision_shift = 1, .window = 6};
  return spec;
}

inline std::unique_ptr<Model> make_backend(BackendKind kind, int64_t border = 0) {
  if (kind == BackendKind::scripted) {
    return std::make_unique<testing_support::ScriptedModel>(testing_support::ScriptedModel::Shape{
        .vocab = kVocab, .context = kContext, .border = border});
  }
  const ModelSpec spec = backend_spec(border);
  const auto weights = random_weights(spec, 7);
  if (kind == BackendKind::plain) {
    return std::make_unique<testing_support::PlainModel>(spec, *weights);
  }
  return std::make_unique<cpu::CpuModel>(
      spec,
      model::load_weights(spec, *weights, {.format = kernels::WeightFormat::f32}),
      cpu::ResolvedModelOptions{.dtype = DType::f32,
                                .weight_format = kernels::WeightFormat::f32,
                                .compute = kernels::Compute::f32});
}

/// A cache whose sequences may be longer than the context.
inline CacheOptions endless_cache() {
  return {
      .policy = "streaming",
      .policy_args = {{"start_size", "4"}, {"recent_size", "20"}, {"enable_pos_shift", "true"}}};
}

/// A model by itself: one sequence, no engine.
class Alone {
 public:
  explicit Alone(Model& model) : model_(model) {}

  /// What follows `prompt` where the likeliest token is always taken.
  std::vector<int32_t> answer(std::span<const int32_t> prompt, int64_t count) {
    const auto state = model_.new_sequence(model_.plan({}));
    std::vector<int32_t> ids;
    std::span<const int32_t> next = prompt;
    while (std::ssize(ids) < count) {
      const auto row = forward(*state, next, LogitRows::last, std::ssize(prompt));
      ids.push_back(static_cast<int32_t>(std::ranges::max_element(row) - row.begin()));
      next = std::span(ids).last(1);
    }
    return ids;
  }

  /// A token whose answer of `count` tokens has none twice.
  int32_t lively_start(int64_t count) {
    for (int32_t start = 0; start < model_.vocab(); ++start) {
      const std::vector<int32_t> ids = answer(std::span(&start, 1), count);
      if (std::ssize(std::set(ids.begin(), ids.end())) == count) return start;
    }
    throw std::logic_error("the model only repeats itself");
  }

  /// Logits after every token of `ids`, [tokens][vocab].
  std::vector<std::vector<float>> rows(std::span<const int32_t> ids) {
    const auto state = model_.new_sequence(model_.plan({}));
    const auto all = forward(*state, ids, LogitRows::all, std::ssize(ids));
    std::vector<std::vector<float>> rows;
    for (auto at = all.begin(); at != all.end(); at += model_.vocab()) {
      rows.emplace_back(at, at + model_.vocab());
    }
    return rows;
  }

 private:
  std::span<const float> forward(SequenceState& state,
                                 std::span<const int32_t> ids,
                                 LogitRows logits,
                                 int64_t length) {
    const std::vector<Part> parts{
        {.sequence = &state, .ids = ids, .logits = logits, .length = length}};
    ensure(model_.reserve(parts), "there is no limit of memory");
    return model_.forward(parts);
  }

  Model& model_;
};

}  // namespace dms::engine
