// Keys of small norm attract attention (Devoto et al. 2024, "A Simple and Effective L2 Norm-Based
// Strategy for KV Cache Compression"): when a prompt ends, the entries with the largest go.

#include "policy/budget.h"

namespace dms::policy {
namespace {

class Knorm final : public cache::Policy {
 public:
  explicit Knorm(const Budget& budget) : budget_(budget) {}

  int64_t window() const override { return 0; }
  cache::PolicyNeeds needs() const override { return {.key_norms = true}; }
  bool plans_at_prompt_end() const override { return true; }

  cache::EvictionPlan plan(const cache::LayerEntries& layer,
                           const cache::PolicyState*) const override {
    Scores scores;
    for (const cache::HeadEntries& head : layer.heads) {
      std::vector<float>& of_head = scores.emplace_back();
      for (const float norm : head.key_norms) of_head.push_back(-norm);
    }
    return plan_prompt(budget_, layer, std::move(scores), 0);
  }

 private:
  Budget budget_;
};

}  // namespace

PolicyPtr make_knorm(const PolicyRequest& request) {
  refuse_window("knorm", request);
  ArgReader args("knorm", request.args);
  const Budget budget = Budget::read(args);
  args.finish();
  return std::make_shared<Knorm>(budget);
}

}  // namespace dms::policy
