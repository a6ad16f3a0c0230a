#include "cli/adapter_use.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/output.h"

namespace dms::cli {

bool reads_adapter(const std::string& policy, const ModelInfo& info) {
  if (policy.empty() || policy == "triattention") return policy.empty() || info.policy == policy;
  return policy == "dms" || policy == "forced" || policy == "kvzap" || policy == "random";
}

std::string usual_policies(const ModelInfo& info) {
  const std::string own = info.dms ? "dms" : info.policy;
  return own == "none" ? own : "none," + own;
}

void note_idle_adapter(const std::filesystem::path& adapter,
                       std::span<const std::string> policies,
                       const ModelInfo& info) {
  const auto is_read = [&info](const std::string& policy) { return reads_adapter(policy, info); };
  if (adapter.empty() || std::ranges::any_of(policies, is_read)) return;
  note(fmt::format("--adapter: without effect with {}; it is one of {}",
                   fmt::join(policies, ", "),
                   info.policy));
}

void note_idle_adapter(const std::filesystem::path& adapter,
                       const std::string& policy,
                       const ModelInfo& info) {
  note_idle_adapter(adapter, {&policy, 1}, info);
}

}  // namespace dms::cli
