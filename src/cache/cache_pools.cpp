#include "cache/cache_pools.h"

namespace dms::cache {
namespace {

int64_t pages_of(const PageDemand& demand, int64_t page_bytes) {
  const auto found = demand.find(page_bytes);
  return found == demand.end() ? 0 : found->second;
}

}  // namespace

PagePool& CachePools::pool(int64_t page_bytes) {
  return pools_.try_emplace(page_bytes, page_bytes, budget_).first->second;
}

int64_t CachePools::used_bytes() const {
  int64_t bytes = 0;
  for (const auto& [size, pool] : pools_) bytes += pool.pages_in_use() * size;
  return bytes;
}

int64_t CachePools::missing_bytes(const PageDemand& demand) const {
  int64_t bytes = 0;
  for (const auto& [size, pool] : pools_) bytes += pool.missing_bytes(pages_of(demand, size));
  return bytes;
}

void CachePools::promise(const PageDemand& demand) {
  for (auto& [size, pool] : pools_) pool.promise(pages_of(demand, size));
}

}  // namespace dms::cache
