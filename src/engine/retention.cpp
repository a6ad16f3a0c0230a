#include "engine/retention.h"

namespace dms::engine {
namespace {

// Of the newest sequence in the mean: quick to learn, slow to be misled by one odd text.
constexpr double kWeight = 0.25;

}  // namespace

Expectation Retention::expectation(const SequencePlan& plan,
                                   int64_t from_tokens,
                                   int64_t to_tokens) const {
  const auto ratio = ratios_.find(plan.name());
  return {.plan = &plan,
          .from_tokens = from_tokens,
          .to_tokens = to_tokens,
          .ratio = ratio == ratios_.end() ? 1.0 : ratio->second};
}

void Retention::learn(const SequencePlan& plan, int64_t tokens, int64_t bytes) {
  const int64_t expected = plan.expected_bytes(tokens);
  if (expected <= 0) return;
  double& ratio = ratios_.try_emplace(plan.name(), 1.0).first->second;
  ratio += kWeight * (static_cast<double>(bytes) / static_cast<double>(expected) - ratio);
}

}  // namespace dms::engine
