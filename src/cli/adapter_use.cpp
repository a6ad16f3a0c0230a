#include "cli/adapter_use.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/output.h"
#include "dms/policy_traits.h"

namespace dms::cli {

bool reads_adapter(const CacheOptions& cache, const ModelInfo& info) {
  if (cache.policy.empty()) return true;
  const AdapterPart part = adapter_part_of(cache);
  const bool has_eviction = info.dms || info.kvzap;
  return part == AdapterPart::eviction ? has_eviction
                                       : part == AdapterPart::queries && !has_eviction;
}

std::string own_policy(const ModelInfo& info) {
  if (info.dms) return "dms";  // asked for, also where the model's own eviction is switched off
  return info.policy == "none" ? "" : info.policy;
}

void note_idle_adapter(const std::filesystem::path& adapter,
                       std::span<const CacheOptions> caches,
                       const ModelInfo& info) {
  const auto is_read = [&info](const CacheOptions& cache) { return reads_adapter(cache, info); };
  if (adapter.empty() || std::ranges::any_of(caches, is_read)) return;
  std::vector<std::string> names;
  for (const CacheOptions& cache : caches) names.push_back(cache.policy);
  note(fmt::format(
      "--adapter: without effect with {}; it is one of {}", fmt::join(names, ", "), info.policy));
}

}  // namespace dms::cli
