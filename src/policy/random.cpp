// Evicts each token with probability 1 - 1/cr by a seeded hash of (layer, head, position): the cost
// of a compressed cache where no trained checkpoint exists. For benchmarks of speed.

#include "policy/hash.h"
#include "policy/policy.h"

namespace dms::policy {
namespace {

class Random final : public cache::Policy {
 public:
  Random(double cr, int64_t kv_heads, uint64_t seed, int64_t window)
      : keep_(1.0 / cr), kv_heads_(kv_heads), seed_(seed), window_(window) {}

  int64_t window() const override { return window_; }
  double expected_keep() const override { return keep_; }

  void decide(const cache::FateRequest& request, std::span<uint8_t> evict) const override {
    for (int64_t head = 0; head < kv_heads_; ++head) {
      const uint64_t key =
          mix(seed_ ^ mix(static_cast<uint64_t>(request.layer * kv_heads_ + head)));
      for (int64_t i = 0; i < request.count; ++i) {
        const uint64_t hash = mix(key ^ static_cast<uint64_t>(request.first + i));
        evict[static_cast<size_t>(head * request.count + i)] = uniform(hash) >= keep_ ? 1 : 0;
      }
    }
  }
  std::optional<cache::FateRule> fate_rule() const override {
    return cache::FateRule{.kind = cache::FateRule::Kind::hash, .keep = keep_, .seed = seed_};
  }

 private:
  double keep_;
  int64_t kv_heads_;
  uint64_t seed_;
  int64_t window_;
};

}  // namespace

PolicyPtr make_random(const PolicyRequest& request) {
  ArgReader args("random", request.args);
  const double cr = args.number("cr", 8.0, 1.0, 1e6);
  const uint64_t seed = args.seed("seed");
  const int64_t window = window_argument(args, request);
  args.finish();
  return std::make_shared<Random>(cr, request.kv_heads, seed, window);
}

}  // namespace dms::policy
