// SnapKV (Li et al. 2024): the entries stay that the last queries attend most, and those queries'
// own. budget_over=layer is AdaKV (Feng et al. 2024). As NVIDIA/kvpress has them.

#include <algorithm>

#include "policy/score.h"
#include "policy/weights.h"

namespace dms::policy {
namespace {

class Snapkv final : public Score {
 public:
  Snapkv(int64_t window_size, int64_t kernel_size)
      : window_size_(window_size), kernel_size_(kernel_size) {}

  cache::PolicyNeeds needs() const override { return {.last_queries = window_size_}; }
  int64_t newest() const override { return window_size_; }

  Scores rate(const cache::LayerEntries& layer) const override {
    const int64_t since = layer.prompt_begin < layer.tokens ? layer.prompt_begin : 0;
    const int64_t window_begin = std::max(layer.tokens - window_size_, since);
    Scores scores;
    for (const cache::HeadEntries& head : layer.heads) {
      const auto before = static_cast<size_t>(
          std::ranges::lower_bound(head.positions, window_begin) - head.positions.begin());
      std::vector<float>& of_head =
          scores.emplace_back(pooled(std::span(head.attention).first(before), kernel_size_));
      of_head.resize(head.positions.size(), 0.0f);
    }
    return scores;
  }

 private:
  int64_t window_size_;
  int64_t kernel_size_;
};

}  // namespace

ScorePtr snapkv_score(ArgReader& args, const PolicyRequest&) {
  constexpr int64_t kMaxQueries = 4096;
  constexpr int64_t kMaxKernel = 1025;
  const int64_t window_size = args.integer("window_size", 64, 1, kMaxQueries);
  const int64_t kernel_size = args.odd_integer("kernel_size", 5, kMaxKernel);
  return std::make_unique<Snapkv>(window_size, kernel_size);
}

PolicyPtr make_snapkv(const PolicyRequest& request) {
  return make_ranking("snapkv", request, snapkv_score);
}

}  // namespace dms::policy
