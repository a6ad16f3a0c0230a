// SnapKV (Li et al. 2024): when a prompt ends, the entries stay that its last queries attend most,
// and those queries' own. budget_over=layer is AdaKV (Feng et al. 2024). As NVIDIA/kvpress has
// them.

#include <algorithm>

#include "dms/error.h"
#include "policy/budget.h"

namespace dms::policy {
namespace {

/// Means over kernel_size neighbours; those beyond the ends count as nothing.
std::vector<float> pooled(std::span<const float> x, int64_t kernel_size) {
  const auto count = std::ssize(x);
  const int64_t reach = kernel_size / 2;
  std::vector<float> result;
  for (int64_t i = 0; i < count; ++i) {
    float sum = 0;
    for (int64_t j = std::max<int64_t>(i - reach, 0); j <= std::min(i + reach, count - 1); ++j) {
      sum += x[static_cast<size_t>(j)];
    }
    result.push_back(sum / static_cast<float>(kernel_size));
  }
  return result;
}

class Snapkv final : public cache::Policy {
 public:
  Snapkv(const Budget& budget, int64_t window_size, int64_t kernel_size)
      : budget_(budget), window_size_(window_size), kernel_size_(kernel_size) {}

  int64_t window() const override { return 0; }
  cache::PolicyNeeds needs() const override { return {.last_queries = window_size_}; }
  bool plans_at_prompt_end() const override { return true; }

  cache::EvictionPlan plan(const cache::LayerEntries& layer,
                           const cache::PolicyState*) const override {
    const int64_t window_begin = std::max(layer.tokens - window_size_, layer.prompt_begin);
    Scores scores;
    for (const cache::HeadEntries& head : layer.heads) {
      const auto before = static_cast<size_t>(
          std::ranges::lower_bound(head.positions, window_begin) - head.positions.begin());
      std::vector<float>& of_head =
          scores.emplace_back(pooled(std::span(head.attention).first(before), kernel_size_));
      of_head.resize(head.positions.size(), 0.0f);
    }
    return plan_prompt(budget_, layer, std::move(scores), window_size_);
  }

 private:
  Budget budget_;
  int64_t window_size_;
  int64_t kernel_size_;
};

}  // namespace

PolicyPtr make_snapkv(const PolicyRequest& request) {
  constexpr int64_t kMaxQueries = 4096;
  constexpr int64_t kMaxKernel = 1025;
  refuse_window("snapkv", request);
  ArgReader args("snapkv", request.args);
  const Budget budget = Budget::read(args);
  const int64_t window_size = args.integer("window_size", 64, 1, kMaxQueries);
  const int64_t kernel_size = args.integer("kernel_size", 5, 1, kMaxKernel);
  if (kernel_size % 2 == 0) {
    throw InputError({.field = "policy_args.kernel_size",
                      .what = "has no middle",
                      .got = std::to_string(kernel_size),
                      .expected = "an odd number"});
  }
  args.finish();
  return std::make_shared<Snapkv>(budget, window_size, kernel_size);
}

}  // namespace dms::policy
