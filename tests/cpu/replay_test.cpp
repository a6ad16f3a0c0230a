// The replay pass against its definition, written out in float64 on queries, keys and values that
// the model computes.

#include "cpu/replay.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "cpu/sequence_cases.h"
#include "cpu/tiny_model.h"
#include "dms/error.h"
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

/// What a chunk's entries are worth in one layer. Those before `seen` are out of its sliding
/// window.
class Best {
 public:
  Best(const ModelSpec& spec,
       const Seen& context,
       const Seen& repeated,
       const ChunkOfContext& chunk,
       int64_t seen)
      : spec_(spec),
        context_(context),
        repeated_(repeated),
        queries_(std::ssize(repeated.inputs) / spec.hidden),
        repetition_begin_(std::ssize(context.inputs) / spec.hidden) {
    for (int64_t i = seen; i < std::min<int64_t>(4, chunk.begin); ++i) attended_.push_back(i);
    for (int64_t i = std::max(chunk.begin, seen); i < chunk.begin + chunk.count; ++i) {
      attended_.push_back(i);
    }
    for (int64_t head = 0; head < spec.q_heads; ++head) {
      for (int64_t query = 0; query < queries_; ++query) sums_.push_back(sum(head, query));
    }
  }

  /// The best score of one entry in one KV head. `projection`: empty for KVzip.
  double score(int64_t kv_head, int64_t entry, std::span<const float> projection) const {
    double highest = 0;
    for (int64_t g = 0; g < spec_.group(); ++g) {
      const int64_t q_head = kv_head * spec_.group() + g;
      const float* value =
          context_.values.data() + (entry * spec_.kv_heads + kv_head) * spec_.head_dim;
      const double size = projection.empty() ? 1.0 : output_size(spec_, projection, q_head, value);
      for (int64_t query = 0; query < queries_; ++query) {
        double score = power(q_head, query, context_.keys, entry) /
                       sums_[static_cast<size_t>(q_head * queries_ + query)];
        if (!projection.empty()) {
          const float* h = repeated_.inputs.data() + query * spec_.hidden;
          score *= size / std::sqrt(dot(h, h, spec_.hidden));
        }
        highest = std::max(highest, score);
      }
    }
    return highest;
  }

 private:
  /// What a token of the context, or one of the repetition, gets before it is normalised.
  double power(int64_t q_head, int64_t query, const std::vector<float>& keys, int64_t token) const {
    const int64_t d = spec_.head_dim;
    const float* q = repeated_.queries.data() + (query * spec_.q_heads + q_head) * d;
    const float* k = keys.data() + (token * spec_.kv_heads + q_head / spec_.group()) * d;
    double score = dot(q, k, d);
    if (!spec_.alibi_slopes.empty()) {
      const int64_t begin = &keys == &context_.keys ? 0 : repetition_begin_;
      score -= spec_.alibi_slopes[static_cast<size_t>(q_head)] *
               static_cast<double>(repetition_begin_ + query - begin - token);
    }
    score /= std::sqrt(static_cast<double>(d));
    const double cap = spec_.attention_soft_cap;
    return std::exp(cap > 0 ? cap * std::tanh(score / cap) : score);
  }

  double sum(int64_t q_head, int64_t query) const {
    double sum = 0;
    for (const int64_t token : attended_) sum += power(q_head, query, context_.keys, token);
    for (int64_t i = 0; i <= query; ++i) sum += power(q_head, query, repeated_.keys, i);
    return sum;
  }

  const ModelSpec& spec_;
  const Seen& context_;
  const Seen& repeated_;
  int64_t queries_;
  int64_t repetition_begin_;
  std::vector<int64_t> attended_;  // of the context
  std::vector<double> sums_;       // [q_heads, queries]
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

/// How scores come about of products of queries and keys.
struct ScoreCase {
  const char* name;
  void (*change)(ModelSpec& spec);
};

class ReplayOf : public testing::TestWithParam<ScoreCase> {};

TEST_P(ReplayOf, ScoresAreThoseOfTheDefinition) {
  const ModelSpec spec = tiny_spec(
      {.layers = 2, .kv_heads = 2, .group = 3, .head_dim = 24, .change = GetParam().change});
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
      const Best best(spec, seen[layer], repeated[layer], chunk, 0);
      const std::vector<float> projection =
          output_projection(spec, *weights, static_cast<int64_t>(layer));
      for (int64_t head = 0; head < 2; ++head) {
        for (int64_t i = chunk.begin; i < chunk.begin + chunk.count; ++i) {
          const auto at = static_cast<size_t>(head * 50 + i);
          EXPECT_NEAR(by_attention[layer * 100 + at], std::log(best.score(head, i, {})), 2e-4);
          if (layer == 0) continue;
          EXPECT_NEAR(by_output[at], std::log(best.score(head, i, projection)), 2e-4);
        }
      }
    }
  }
  EXPECT_EQ(std::vector<float>(output.inputs(1).begin(), output.inputs(1).end()), seen[1].inputs);
}

void make_plain(ModelSpec&) {}

void cap_scores(ModelSpec& spec) { spec.attention_soft_cap = 0.5; }

INSTANTIATE_TEST_SUITE_P(Replay,
                         ReplayOf,
                         testing::Values(ScoreCase{"products", make_plain},
                                         ScoreCase{"alibi", make_alibi},
                                         ScoreCase{"capped", cap_scores}),
                         [](const auto& tested) { return tested.param.name; });

constexpr int64_t kSliding = 160;
constexpr int64_t kLong = 600;  // its repetition takes two passes
const ReplayPrompt kAtOnce{.whole = {1, 2, 3}, .part = {4, 5}, .answer = {6}, .chunk = 2048};

CpuModel model_that_repeats_at_once(const ModelSpec& spec,
                                    const WeightSource& weights,
                                    const ReplayPrompt& prompt = kAtOnce) {
  return CpuModel(spec,
                  model::load_weights(spec, weights, {.format = kernels::WeightFormat::f32}),
                  {.dtype = DType::f32,
                   .weight_format = kernels::WeightFormat::f32,
                   .compute = kernels::Compute::f32,
                   .replay_prompt = [prompt] { return prompt; }});
}

/// A calibration's replay knows all of a context, a prompt's what its layers still see.
TEST(Replay, OfALayerWithASlidingWindowReadsTheSameInEachPass) {
  const ModelSpec spec =
      tiny_spec({.kv_heads = 2, .group = 2, .head_dim = 16, .sliding_window = kSliding});
  const auto weights = random_weights(spec, seed());
  CpuModel model = model_that_repeats_at_once(spec, *weights);
  const std::vector<int32_t> context = random_ids(kLong, spec.vocab, seed());
  const ReplayLayers layers{.begin = 0, .end = spec.layers};
  Replay replay(model, spec, kAtOnce, ReplayScore::output);
  const std::vector<float> of_all = replay.run(context, layers);
  const auto sequence = model.new_sequence(model.plan({.policy = "knorm"}));
  const std::vector<Seen> seen = read(model, spec, *sequence, context);
  const std::vector<float> of_seen =
      replay.repeat(static_cast<const CpuSequence&>(*sequence), context, 0, kLong, layers);

  const ChunkOfContext chunk{.begin = 0, .count = kLong};
  constexpr int64_t kFirstSeen = kLong - kSliding + 1;
  const auto branch = sequence->fork();
  const std::vector<Seen> repeated =
      read(model, spec, *branch, repetition(kAtOnce, context, chunk));
  for (int64_t layer = 0; layer < spec.layers; ++layer) {
    const auto at_layer = static_cast<size_t>(layer);
    const std::vector<float> projection = output_projection(spec, *weights, layer);
    const Best all(spec, seen[at_layer], repeated[at_layer], chunk, 0);
    const Best rest(spec, seen[at_layer], repeated[at_layer], chunk, kFirstSeen);
    for (int64_t head = 0; head < spec.kv_heads; ++head) {
      for (int64_t i = 0; i < kLong; ++i) {
        const auto at = static_cast<size_t>((layer * spec.kv_heads + head) * kLong + i);
        EXPECT_NEAR(of_all[at], std::log(all.score(head, i, projection)), 2e-4) << i;
        if (i < kFirstSeen) {
          EXPECT_EQ(of_seen[at], -std::numeric_limits<float>::infinity()) << i;
        } else {
          EXPECT_NEAR(of_seen[at], std::log(rest.score(head, i, projection)), 2e-4) << i;
        }
      }
    }
  }
}

TEST(Replay, OfALayerWithASlidingWindowDoesNotDependOnThePromptsChunks) {
  const ModelSpec spec = tiny_spec({.sliding_window = kSliding});
  const auto weights = random_weights(spec, seed());
  CpuModel model = model_that_repeats_at_once(spec, *weights);
  const std::vector<int32_t> prompt = random_ids(kLong, spec.vocab, seed());
  for (const char* policy : {"kvzip", "kvzip_plus"}) {
    const CacheOptions cache{.policy = policy, .policy_args = {{"n_sink", "0"}}};
    Line whole(model, cache, kLong);
    whole.append(prompt);
    for (const int64_t chunk : {1, 37, 64, 512}) {
      Line line(model, cache, chunk);
      line.append(prompt);
      EXPECT_EQ(line.decisions(), whole.decisions()) << policy << " by " << chunk;
    }
  }
}

/// What is computed again knows later plans: a branch's tokens are not those.
TEST(Replay, IsTheSameWhereWhatFollowedIsComputedAgain) {
  const ModelSpec spec = tiny_spec({});
  const auto weights = random_weights(spec, seed());
  CpuModel model = model_that_repeats_at_once(spec, *weights);
  const CacheOptions cache{.policy = "kvzip", .policy_args = {{"budget", "40"}}};
  const std::vector<int32_t> ids = random_ids(1154, spec.vocab, seed());
  const auto append = [&](Line& line, size_t end) {
    const auto first = static_cast<size_t>(line.tokens());
    line.append(std::span(ids).subspan(first, end - first));
  };
  Line reference(model, cache, 256);
  Line line(model, cache, 256);
  // The second prompt ends where the first one's repetition does.
  for (const size_t end : {500u, 500u + 504u, 1092u}) {
    append(reference, end);
    append(line, end);
  }
  append(line, 1154);
  line.truncate(1092);
  EXPECT_EQ(line.decisions(), reference.decisions());
  append(line, 1120);
  append(reference, 1120);
  EXPECT_EQ(line.decisions(), reference.decisions());
}

/// Heads share a budget, so that each keeps another part of its pages.
TEST(Replay, GivesBackWhatItsPlanLeavesBetweenPages) {
  const ModelSpec spec = tiny_spec({.layers = 4, .kv_heads = 3});
  const auto weights = random_weights(spec, seed());
  CpuModel model = model_that_repeats_at_once(spec, *weights);
  const CacheOptions cache{.policy = "kvzip",
                           .policy_args = {{"compression_ratio", "0.8"}, {"budget_over", "model"}}};
  Line line(model, cache, 256);
  line.append(random_ids(1500, spec.vocab, seed()));
  const engine::SequenceState& state = line.sequence()->state();
  const std::vector<const engine::SequenceState*> states{&state};
  const KvStats stats = model.usage(states);
  const int64_t held_bytes = state.held_bytes();
  EXPECT_LT(stats.held_tokens, stats.dense_tokens / 4);
  EXPECT_LT(model.memory().used_bytes, held_bytes * 5 / 4);
}

TEST(Replay, IsRefusedInTokensThatTheModelDoesNotHave) {
  const ModelSpec spec = tiny_spec({});
  const auto weights = random_weights(spec, seed());
  const auto last = static_cast<int32_t>(spec.vocab - 1);
  for (const int32_t id : {-1, last, last + 1}) {
    for (std::vector<int32_t> ReplayPrompt::*words :
         {&ReplayPrompt::whole, &ReplayPrompt::part, &ReplayPrompt::answer}) {
      ReplayPrompt prompt = kAtOnce;
      (prompt.*words).push_back(id);
      const CpuModel model = model_that_repeats_at_once(spec, *weights, prompt);
      if (id == last) {
        EXPECT_NO_THROW(model.plan({.policy = "kvzip"}));
      } else {
        EXPECT_THROW(model.plan({.policy = "kvzip"}), InputError) << id;
      }
    }
  }
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
