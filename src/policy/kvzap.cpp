// KVzap (Jegou and Jeblick, arXiv 2601.07891): a token that leaves the window goes where an
// adapter's score of it, which predicts the log of what KVzip+ would say, is below a threshold. The
// first tokens stay: their scores say nothing of what attention needs them for.

#include "dms/error.h"
#include "policy/policy.h"

namespace dms::policy {
namespace {

constexpr double kMaxThreshold = 1e9;

class Kvzap final : public cache::Policy {
 public:
  Kvzap(const ScoredEviction& scored, int64_t kv_heads, int64_t window)
      : scored_(scored), kv_heads_(kv_heads), window_(window) {}

  int64_t window() const override { return window_; }
  cache::PolicyNeeds needs() const override { return {.decision_logits = true}; }
  double expected_keep() const override {
    return scored_.target_cr > 1.0 ? 1.0 / scored_.target_cr : 1.0;
  }

  void decide(const cache::FateRequest& request, std::span<uint8_t> evict) const override {
    const auto threshold = static_cast<float>(scored_.threshold);
    for (int64_t head = 0; head < kv_heads_; ++head) {
      for (int64_t i = 0; i < request.count; ++i) {
        if (request.first + i < scored_.sinks) continue;
        const float score = request.logits[static_cast<size_t>(i * kv_heads_ + head)];
        evict[static_cast<size_t>(head * request.count + i)] = score < threshold ? 1 : 0;
      }
    }
  }
  std::optional<cache::FateRule> fate_rule() const override {
    return cache::FateRule{.kind = cache::FateRule::Kind::threshold,
                           .sinks = scored_.sinks,
                           .threshold = static_cast<float>(scored_.threshold)};
  }

 private:
  ScoredEviction scored_;
  int64_t kv_heads_;
  int64_t window_;
};

}  // namespace

PolicyPtr make_kvzap(const PolicyRequest& request) {
  if (!request.scored) {
    throw InputError({.field = "policy",
                      .what = "this model has no scores of KVzap",
                      .got = "kvzap",
                      .expected = "a model with an adapter of them",
                      .hint = "dms calibrate kvzap makes one"});
  }
  ScoredEviction scored = *request.scored;
  ArgReader args("kvzap", request.args);
  if (args.has("threshold")) {
    scored.threshold = args.number("threshold", 0.0, -kMaxThreshold, kMaxThreshold);
    scored.target_cr = 0.0;
  }
  scored.sinks = args.integer("n_sink", scored.sinks, 0, kMaxWindow);
  args.finish();
  return std::make_shared<Kvzap>(scored, request.kv_heads, resolve_window(request));
}

}  // namespace dms::policy
