// Trained eviction (semantics.md section 1): a token goes when its decision logit is positive.

#include "dms/error.h"
#include "policy/policy.h"

namespace dms::policy {
namespace {

class Dms final : public cache::Policy {
 public:
  Dms(const TrainedEviction& trained, int64_t kv_heads, int64_t window)
      : trained_(trained), kv_heads_(kv_heads), window_(window) {}

  int64_t window() const override { return window_; }
  int64_t decision_shift() const override {
    return trained_.disable_eviction ? 0 : trained_.decision_shift;
  }
  cache::PolicyNeeds needs() const override {
    return {.decision_logits = !trained_.disable_eviction};
  }
  double expected_keep() const override {
    return trained_.target_cr > 1.0 ? 1.0 / trained_.target_cr : 1.0;
  }

  void decide(const cache::FateRequest& request, std::span<uint8_t> evict) const override {
    if (trained_.disable_eviction) return;
    for (int64_t head = 0; head < kv_heads_; ++head) {
      const int64_t decider = trained_.per_layer ? 0 : head;
      for (int64_t i = 0; i < request.count; ++i) {
        if (request.first + i < trained_.sinks) continue;
        const float logit = request.logits[static_cast<size_t>(i * kv_heads_ + decider)];
        evict[static_cast<size_t>(head * request.count + i)] = logit > 0.0f ? 1 : 0;
      }
    }
  }
  std::optional<cache::FateRule> fate_rule() const override {
    if (trained_.disable_eviction) return cache::FateRule();
    return cache::FateRule{.kind = cache::FateRule::Kind::logit,
                           .sinks = trained_.sinks,
                           .per_layer = trained_.per_layer};
  }

 private:
  TrainedEviction trained_;
  int64_t kv_heads_;
  int64_t window_;
};

}  // namespace

PolicyPtr make_dms(const PolicyRequest& request) {
  if (!request.trained) {
    throw InputError({.field = "policy",
                      .what = "this model has no trained eviction",
                      .got = "dms",
                      .expected = "a model folder with DMS metadata",
                      .hint = "try the policy streaming or random"});
  }
  TrainedEviction trained = *request.trained;
  ArgReader args("dms", request.args);
  trained.disable_eviction = args.boolean("disable_eviction", trained.disable_eviction);
  trained.sinks = args.integer("n_sink", trained.sinks, 0, kMaxWindow);
  args.finish();
  return std::make_shared<Dms>(trained, request.kv_heads, resolve_window(request));
}

}  // namespace dms::policy
