// Keeps everything. Tokens need no window of their own: it only matters where survivors are stored
// in another type than the window.

#include "policy/policy.h"

namespace dms::policy {
namespace {

class None final : public cache::Policy {
 public:
  explicit None(int64_t window) : window_(window) {}
  int64_t window() const override { return window_; }
  std::optional<cache::FateRule> fate_rule() const override { return cache::FateRule(); }

 private:
  int64_t window_;
};

}  // namespace

PolicyPtr make_none(const PolicyRequest& request) {
  ArgReader("none", request.args).finish();
  return std::make_shared<None>(request.window ? resolve_window(request) : 0);
}

}  // namespace dms::policy
