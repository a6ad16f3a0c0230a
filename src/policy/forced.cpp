// Decisions read from a file, uint8 [layers, kv_heads, tokens]: entry i is token i's own final
// fate, 1 = evict. Tokens beyond the file are kept. For tests and for replaying another system's
// decisions.

#include "base/npy.h"
#include "dms/error.h"
#include "policy/policy.h"

namespace dms::policy {
namespace {

class Forced final : public cache::Policy {
 public:
  Forced(NpyBytes decisions, int64_t window) : decisions_(std::move(decisions)), window_(window) {}

  int64_t window() const override { return window_; }
  // Another file's decisions may stand under the same name.
  bool shares_prefixes() const override { return false; }

  void decide(const cache::FateRequest& request, std::span<uint8_t> evict) const override {
    const int64_t kv_heads = decisions_.shape[1];
    const int64_t tokens = decisions_.shape[2];
    for (int64_t head = 0; head < kv_heads; ++head) {
      const int64_t row = (request.layer * kv_heads + head) * tokens;
      for (int64_t i = 0; i < request.count; ++i) {
        const int64_t token = request.first + i;
        evict[static_cast<size_t>(head * request.count + i)] =
            token < tokens ? decisions_.values[static_cast<size_t>(row + token)] : 0;
      }
    }
  }
  std::optional<cache::FateRule> fate_rule() const override {
    return cache::FateRule{.kind = cache::FateRule::Kind::known};
  }

 private:
  NpyBytes decisions_;
  int64_t window_;
};

void check(const NpyBytes& decisions, const PolicyRequest& request) {
  const std::string where = request.decisions_file.string();
  const bool fits = decisions.shape.size() == 3 && decisions.shape[0] == request.layers &&
                    decisions.shape[1] == request.kv_heads;
  if (!fits) {
    std::string got = "[";
    for (const int64_t size : decisions.shape) {
      got.append(got.size() > 1 ? ", " : "").append(std::to_string(size));
    }
    got.append("]");
    throw InputError({.where = where,
                      .what = "wrong shape",
                      .got = got,
                      .expected = "[" + std::to_string(request.layers) + ", " +
                                  std::to_string(request.kv_heads) + ", tokens]"});
  }
  for (uint8_t value : decisions.values) {
    if (value > 1) {
      throw InputError({.where = where,
                        .what = "bad decision",
                        .got = std::to_string(value),
                        .expected = "0 (keep) or 1 (evict)"});
    }
  }
}

}  // namespace

PolicyPtr make_forced(const PolicyRequest& request) {
  ArgReader("forced", request.args).finish();
  if (request.decisions_file.empty()) {
    throw InputError({.field = "decisions_file",
                      .what = "the policy forced needs a decisions file",
                      .expected = "uint8 [layers, kv_heads, tokens] in NumPy format"});
  }
  NpyBytes decisions = read_npy_bytes(request.decisions_file);
  check(decisions, request);
  return std::make_shared<Forced>(std::move(decisions), resolve_window(request));
}

}  // namespace dms::policy
