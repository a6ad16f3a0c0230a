#include "cache/cache_pools.h"

#include "kernels/kv_page.h"

namespace dms::cache {
namespace {

int64_t pages_of(const PageDemand& demand, DType type) {
  const auto found = demand.find(type);
  return found == demand.end() ? 0 : found->second;
}

}  // namespace

PagePool& CachePools::pool(DType type) {
  const kernels::KvPageLayout layout{.type = type, .head_dim = head_dim_};
  return pools_.try_emplace(type, layout.bytes(), budget_).first->second;
}

int64_t CachePools::missing_bytes(const PageDemand& demand) const {
  int64_t bytes = 0;
  for (const auto& [type, pool] : pools_) bytes += pool.missing_bytes(pages_of(demand, type));
  return bytes;
}

void CachePools::promise(const PageDemand& demand) {
  for (auto& [type, pool] : pools_) pool.promise(pages_of(demand, type));
}

}  // namespace dms::cache
