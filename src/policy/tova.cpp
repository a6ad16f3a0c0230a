// TOVA (Oren et al. 2024, "Transformers are Multi-State RNNs"): a running budget; what the last
// query attends least goes, its weights averaged over all heads, so that all heads hold the same
// tokens. Plans are due at the multiples of `interval` tokens whatever was prompt and what answer,
// so that what stays does not depend on chunks: a head holds at most budget + interval entries.

#include <algorithm>
#include <limits>

#include "dms/error.h"
#include "policy/budget.h"

namespace dms::policy {
namespace {

class Tova final : public cache::Policy {
 public:
  Tova(int64_t budget, int64_t interval) : budget_(budget), interval_(interval) {}

  int64_t window() const override { return 0; }
  cache::PolicyNeeds needs() const override { return {.last_queries = 1}; }
  int64_t interval() const override { return interval_; }

  cache::EvictionPlan plan(const cache::LayerEntries& layer,
                           const cache::PolicyState*) const override {
    std::vector<float> mean(layer.heads.front().attention.size(), 0.0f);
    for (const cache::HeadEntries& head : layer.heads) {
      if (head.positions != layer.heads.front().positions) {  // read from a file of strangers
        throw RunError({.where = "KV cache", .what = "heads hold other tokens than each other"});
      }
      for (size_t i = 0; i < mean.size(); ++i) mean[i] += head.attention[i];
    }
    // The newest token has been attended by its own query alone.
    if (!mean.empty()) mean.back() = std::numeric_limits<float>::infinity();
    const int64_t drop = std::max<int64_t>(std::ssize(mean) - budget_, 0);
    return drop_lowest(Scores(layer.heads.size(), mean),
                       std::vector<int64_t>(layer.heads.size(), drop));
  }

 private:
  int64_t budget_;
  int64_t interval_;
};

}  // namespace

PolicyPtr make_tova(const PolicyRequest& request) {
  constexpr int64_t kDefaultBudget = 1024;
  refuse_window("tova", request);
  ArgReader args("tova", request.args);
  const int64_t budget = args.integer("budget", kDefaultBudget, 1, kMaxWindow);
  const int64_t interval = args.integer("interval", kDefaultInterval, 1, kMaxWindow);
  args.finish();
  return std::make_shared<Tova>(budget, interval);
}

}  // namespace dms::policy
