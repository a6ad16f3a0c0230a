// StreamingLLM (Xiao et al. 2023): the first start_size tokens and the recent_size before the
// query. With enable_pos_shift entries are addressed by their place in the cache, so that distances
// never exceed the trained length: a query sees recent keys from its true position and the start
// tokens from its place in the cache (semantics.md section 4, item 5).

#include <algorithm>

#include "dms/error.h"
#include "policy/policy.h"

namespace dms::policy {
namespace {

class Streaming final : public cache::Policy {
 public:
  Streaming(int64_t start_size, int64_t recent_size, bool shift_positions)
      : start_size_(start_size), recent_size_(recent_size), shift_positions_(shift_positions) {}

  int64_t window() const override { return recent_size_; }
  double expected_keep() const override { return 0.0; }

  std::optional<int64_t> far_position(int64_t token) const override {
    if (!shift_positions_) return std::nullopt;
    return std::min(token, start_size_ + recent_size_);
  }

  void decide(const cache::FateRequest& request, std::span<uint8_t> evict) const override {
    for (size_t i = 0; i < evict.size(); ++i) {
      const int64_t position = request.first + static_cast<int64_t>(i) % request.count;
      evict[i] = position >= start_size_ ? 1 : 0;
    }
  }
  std::optional<cache::FateRule> fate_rule() const override {
    return cache::FateRule{.kind = cache::FateRule::Kind::beyond, .sinks = start_size_};
  }

 private:
  int64_t start_size_;
  int64_t recent_size_;
  bool shift_positions_;
};

}  // namespace

PolicyPtr make_streaming(const PolicyRequest& request) {
  if (request.window) {
    throw InputError({.field = "window_tokens",
                      .what = "the policy streaming has no window of its own",
                      .got = std::to_string(*request.window),
                      .expected = "policy_args recent_size=" + std::to_string(*request.window)});
  }
  ArgReader args("streaming", request.args);
  const int64_t start_size = args.integer("start_size", 4, 0, kMaxWindow);
  const int64_t recent_size = args.integer("recent_size", 2000, 0, kMaxWindow);
  const bool shift_positions = args.boolean("enable_pos_shift", false);
  args.finish();
  return std::make_shared<Streaming>(start_size, recent_size, shift_positions);
}

}  // namespace dms::policy
