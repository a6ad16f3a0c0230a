#include "cache/cache_pools.h"

#include <algorithm>

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
  int64_t bytes = beside_bytes_;
  for (const auto& [size, pool] : pools_) bytes += pool.pages_in_use() * size;
  return bytes;
}

int64_t CachePools::missing_bytes(const PageDemand& demand) const {
  int64_t bytes = 0;
  for (const auto& [size, pool] : pools_) bytes += pool.missing_bytes(pages_of(demand, size));
  return bytes;
}

void CachePools::promise(const PageDemand& demand, int64_t beside) {
  for (auto& [size, pool] : pools_) pool.promise(pages_of(demand, size));
  budget_.promised_bytes += beside - promised_beside_;
  promised_beside_ = beside;
}

void CachePools::count_beside(int64_t bytes) {
  beside_bytes_ += bytes;
  budget_.take(bytes);
  const int64_t came = std::clamp<int64_t>(bytes, 0, promised_beside_);
  budget_.promised_bytes -= came;
  promised_beside_ -= came;
}

}  // namespace dms::cache
