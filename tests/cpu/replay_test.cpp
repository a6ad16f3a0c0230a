// The replay pass against its definition, written out in float64 on queries, keys and values that
// the model computes.

#include "cpu/replay.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <gtest/gtest.h>

#include "cpu/tiny_model.h"
#include "support/seed.h"

namespace dms::cpu {
namespace {

using testing_support::seed;

/// What one layer computes of the tokens read so far.
struct Seen {
  std::vector<float> inputs;   // [tokens, hidden]
  std::vector<float> queries;  // [tokens, q_heads, head_dim]
  std::vector<float> keys;     // [tokens, kv_heads, head_dim]
  std::vector<float> values;
};

/// Reads `ids` after what `sequence` holds.
std::vector<Seen> read(CpuModel& model,
                       const ModelSpec& spec,
                       engine::SequenceState& sequence,
                       std::span<const int32_t> ids) {
  std::vector<Seen> layers(static_cast<size_t>(spec.layers));
  model.watch([&](int64_t layer, model::LinearInput input, std::span<const float> rows) {
    std::vector<float>& to = layers[static_cast<size_t>(layer)].inputs;
    if (input == model::LinearInput::qkv) to.insert(to.end(), rows.begin(), rows.end());
  });
  model.watch_chunks([&](const cache::LayerChunk& chunk) {
    Seen& seen = layers[static_cast<size_t>(chunk.layer)];
    const auto add = [&](std::span<const float> rows, int64_t width, std::vector<float>& to) {
      for (int64_t i = 0; i < chunk.count; ++i) {
        const auto at = rows.begin() + i * chunk.token_stride;
        to.insert(to.end(), at, at + width);
      }
    };
    add(chunk.queries, spec.q_heads * spec.head_dim, seen.queries);
    add(chunk.keys, spec.kv_heads * spec.head_dim, seen.keys);
    add(chunk.values, spec.kv_heads * spec.head_dim, seen.values);
  });
  read_text(model, sequence, ids, 500);
  model.watch({});
  model.watch_chunks({});
  return layers;
}

double dot(const float* a, const float* b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

/// |v W_O| of a token's value, as a query head projects it.
double output_size(const ModelSpec& spec,
                   std::span<const float> projection,  // [hidden, q_heads * head_dim]
                   int64_t q_head,
                   const float* value) {
  double sum = 0;
  const int64_t width = spec.q_heads * spec.head_dim;
  for (int64_t row = 0; row < spec.hidden; ++row) {
    const double x =
        dot(projection.data() + row * width + q_head * spec.head_dim, value, spec.head_dim);
    sum += x * x;
  }
  return std::sqrt(sum);
}

struct ChunkOfContext {
  int64_t begin;
  int64_t count;
};

/// The best score of one entry of a chunk in one KV head.
class Best {
 public:
  Best(const ModelSpec& spec, const Seen& context, const Seen& repeated)
      : spec_(spec), context_(context), repeated_(repeated) {}

  /// `projection`: empty for KVzip.
  double score(int64_t kv_head,
               const ChunkOfContext& chunk,
               int64_t entry,
               std::span<const float> projection) const {
    double highest = 0;
    const int64_t queries = std::ssize(repeated_.inputs) / spec_.hidden;
    for (int64_t g = 0; g < spec_.group(); ++g) {
      const int64_t q_head = kv_head * spec_.group() + g;
      const float* value =
          context_.values.data() + (entry * spec_.kv_heads + kv_head) * spec_.head_dim;
      for (int64_t query = 0; query < queries; ++query) {
        double score = weight(q_head, chunk, entry, query);
        if (!projection.empty()) {
          const float* h = repeated_.inputs.data() + query * spec_.hidden;
          score *=
              output_size(spec_, projection, q_head, value) / std::sqrt(dot(h, h, spec_.hidden));
        }
        highest = std::max(highest, score);
      }
    }
    return highest;
  }

 private:
  double weight(int64_t q_head, const ChunkOfContext& chunk, int64_t entry, int64_t query) const {
    const int64_t d = spec_.head_dim;
    const int64_t kv = spec_.kv_heads;
    const int64_t kv_head = q_head / spec_.group();
    const float* q = repeated_.queries.data() + (query * spec_.q_heads + q_head) * d;
    const auto power = [&](const std::vector<float>& keys, int64_t token) {
      return std::exp(dot(q, keys.data() + (token * kv + kv_head) * d, d) /
                      std::sqrt(static_cast<double>(d)));
    };
    double sum = 0;
    for (int64_t i = 0; i < std::min<int64_t>(4, chunk.begin); ++i) sum += power(context_.keys, i);
    for (int64_t i = 0; i < chunk.count; ++i) sum += power(context_.keys, chunk.begin + i);
    for (int64_t i = 0; i <= query; ++i) sum += power(repeated_.keys, i);
    return power(context_.keys, entry) / sum;
  }

  const ModelSpec& spec_;
  const Seen& context_;
  const Seen& repeated_;
};

std::vector<float> output_projection(const ModelSpec& spec,
                                     const WeightSource& weights,
                                     int64_t layer) {
  for (const WeightName& weight : weight_names(spec)) {
    if (weight.role != WeightRole::attention_output || weight.layer != layer) continue;
    std::vector<float> rows(static_cast<size_t>(element_count(weight)));
    weights.read_rows(weight, 0, weight.shape[0], rows);
    return rows;
  }
  return {};
}

/// The repetition's ids of a chunk, by the recipe.
std::vector<int32_t> repetition(const ReplayPrompt& prompt,
                                std::span<const int32_t> context,
                                const ChunkOfContext& chunk) {
  std::vector<int32_t> ids = chunk.begin == 0 ? prompt.whole : prompt.part;
  const auto add = [&](int64_t begin, int64_t end) {
    ids.insert(ids.end(), context.begin() + begin, context.begin() + end);
  };
  add(std::max<int64_t>(chunk.begin - 8, 0), chunk.begin);
  ids.insert(ids.end(), prompt.answer.begin(), prompt.answer.end());
  add(chunk.begin, chunk.begin + chunk.count);
  return ids;
}

TEST(Replay, ScoresAreThoseOfTheDefinition) {
  const ModelSpec spec = tiny_spec({.layers = 2, .kv_heads = 2, .group = 3, .head_dim = 24});
  const auto weights = random_weights(spec, seed());
  CpuModel model = tiny_model(spec, *weights);
  const std::vector<int32_t> context = random_ids(50, spec.vocab, seed());
  const ReplayPrompt prompt{.whole = {1, 2, 3}, .part = {4, 5}, .answer = {6}, .chunk = 20};
  const auto sequence = model.new_sequence(model.plan({.policy = "none"}));
  const std::vector<Seen> seen = read(model, spec, *sequence, context);

  Replay attention(model, spec, prompt, ReplayScore::attention);
  Replay output(model, spec, prompt, ReplayScore::output);
  const std::vector<float> by_attention = attention.run(context, {.begin = 0, .end = 2});
  const std::vector<float> by_output = output.run(context, {.begin = 1, .end = 2});
  ASSERT_EQ(by_attention.size(), 2u * 2u * 50u);
  ASSERT_EQ(by_output.size(), 2u * 50u);
  constexpr std::array kChunks{
      ChunkOfContext{0, 20}, ChunkOfContext{20, 20}, ChunkOfContext{40, 10}};
  for (const ChunkOfContext& chunk : kChunks) {
    const auto branch = sequence->fork();
    const std::vector<Seen> repeated =
        read(model, spec, *branch, repetition(prompt, context, chunk));
    for (size_t layer = 0; layer < 2; ++layer) {
      const Best best(spec, seen[layer], repeated[layer]);
      const std::vector<float> projection =
          output_projection(spec, *weights, static_cast<int64_t>(layer));
      for (int64_t head = 0; head < 2; ++head) {
        for (int64_t i = chunk.begin; i < chunk.begin + chunk.count; ++i) {
          const auto at = static_cast<size_t>(head * 50 + i);
          EXPECT_NEAR(
              by_attention[layer * 100 + at], std::log(best.score(head, chunk, i, {})), 2e-4);
          if (layer == 0) continue;
          EXPECT_NEAR(by_output[at], std::log(best.score(head, chunk, i, projection)), 2e-4);
        }
      }
    }
  }
  EXPECT_EQ(std::vector<float>(output.inputs(1).begin(), output.inputs(1).end()), seen[1].inputs);
}

TEST(Replay, TellsWhatItTakes) {
  const ModelSpec spec = tiny_spec({});
  CpuModel model = tiny_model(spec, *random_weights(spec, seed()));
  const Replay replay(
      model, spec, {.whole = {1, 2}, .part = {3}, .answer = {4, 5}, .chunk = 20}, {});
  EXPECT_EQ(replay.tokens_needed(10), 10 + 10 + (1 + 8) + 2);
  EXPECT_EQ(replay.tokens_needed(50), 50 + 20 + (1 + 8) + 2);
}

}  // namespace
}  // namespace dms::cpu
