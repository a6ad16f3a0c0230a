#include "kernels/attention_mass.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/check.h"
#include "kernels/kernel_table.h"

namespace dms::kernels {
namespace {

constexpr float kNoScore = -std::numeric_limits<float>::infinity();

/// Adds the softmax weights of one query head, times `share`.
void add_weights(const AttentionMassArgs& args,
                 std::span<const float> query,
                 std::span<const float> biases,
                 int64_t position,
                 float share,
                 std::span<float> scores,
                 std::span<float> mass) {
  float max = kNoScore;
  for (size_t i = 0; i < scores.size(); ++i) {
    const int64_t distance = position - args.positions[i];
    const bool is_seen =
        distance >= 0 && (args.sliding_window == 0 || distance < args.sliding_window);
    const float* key = args.keys.data() + i * query.size();
    scores[i] = kNoScore;
    if (is_seen) {
      const float dot = row_table().sum_products(query.data(), key, args.head_dim);
      scores[i] = args.scale * (biases.empty() ? dot : dot + biases[i]);
    }
    if (is_seen && args.soft_cap > 0) {
      scores[i] = args.soft_cap * std::tanh(scores[i] / args.soft_cap);
    }
    max = std::max(max, scores[i]);
  }
  if (max == kNoScore) return;
  float sum = 0.0f;
  for (float& score : scores) {
    score = std::exp(score - max);
    sum += score;
  }
  for (size_t i = 0; i < scores.size(); ++i) mass[i] += scores[i] * (share / sum);
}

}  // namespace

void attention_mass(const AttentionMassArgs& args, std::span<float> mass) {
  const auto head_dim = static_cast<size_t>(args.head_dim);
  ensure(args.keys.size() == args.positions.size() * head_dim, "a key for each position");
  ensure(mass.size() == args.positions.size(), "room for each entry's mass");
  ensure(args.biases.empty() || std::ssize(args.biases) == args.group * std::ssize(args.positions),
         "a bias for each head and entry");
  std::ranges::fill(mass, 0.0f);
  std::vector<float> scores(mass.size());
  const float share = 1.0f / static_cast<float>(std::ssize(args.queries) * args.group);
  for (const QueryRow& row : args.queries) {
    ensure(std::ssize(row.heads) == args.group * args.head_dim, "a query for each head");
    for (int64_t head = 0; head < args.group; ++head) {
      const auto query = row.heads.subspan(static_cast<size_t>(head) * head_dim, head_dim);
      const auto first = static_cast<size_t>(head) * mass.size();
      const auto biases =
          args.biases.empty() ? args.biases : args.biases.subspan(first, mass.size());
      add_weights(args, query, biases, row.position, share, scores, mass);
    }
  }
}

}  // namespace dms::kernels
