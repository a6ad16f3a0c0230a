// Keys of small norm attract attention (Devoto et al. 2024, "A Simple and Effective L2 Norm-Based
// Strategy for KV Cache Compression"): the entries with the largest go. By rank, or where a
// threshold is given, each as it leaves the window (NVIDIA/kvpress's DMSPress over KnormPress).

#include "policy/idle.h"
#include "policy/score.h"

namespace dms::policy {
namespace {

class Knorm final : public Score {
 public:
  cache::PolicyNeeds needs() const override { return {.key_norms = true}; }

  Scores rate(const cache::LayerEntries& layer) const override {
    Scores scores;
    for (const cache::HeadEntries& head : layer.heads) {
      std::vector<float>& of_head = scores.emplace_back();
      for (const float norm : head.key_norms) of_head.push_back(-norm);
    }
    return scores;
  }
};

class KnormThreshold final : public cache::Policy {
 public:
  KnormThreshold(double threshold, int64_t kv_heads, int64_t window)
      : threshold_(threshold), kv_heads_(kv_heads), window_(window) {}

  int64_t window() const override { return window_; }
  cache::PolicyNeeds needs() const override { return {.key_norms = true}; }

  void decide(const cache::FateRequest& request, std::span<uint8_t> evict) const override {
    for (int64_t head = 0; head < kv_heads_; ++head) {
      for (int64_t i = 0; i < request.count; ++i) {
        const float norm = request.key_norms[static_cast<size_t>(i * kv_heads_ + head)];
        const bool goes = -static_cast<double>(norm) < threshold_;
        evict[static_cast<size_t>(head * request.count + i)] = goes ? 1 : 0;
      }
    }
  }

 private:
  double threshold_;
  int64_t kv_heads_;
  int64_t window_;
};

}  // namespace

ScorePtr knorm_score(ArgReader&, const PolicyRequest&) { return std::make_unique<Knorm>(); }

PolicyPtr make_knorm(const PolicyRequest& request) {
  ArgReader args("knorm", request.args);
  if (args.has("threshold")) {
    const double threshold = args.number("threshold", 0.0, -1e9, 0.0);
    const int64_t window = window_argument(args, request);
    refuse_idle(args,
                {"compression_ratio",
                 "budget",
                 "interval",
                 "budget_over",
                 "alpha_safeguard",
                 "critical",
                 "chunk_length"},
                "no threshold, under which nothing is ranked");
    args.finish();
    return std::make_shared<KnormThreshold>(threshold, request.kv_heads, window);
  }
  refuse_idle(args, {"window"}, "only with threshold");
  return make_ranking("knorm", request, knorm_score);
}

}  // namespace dms::policy
