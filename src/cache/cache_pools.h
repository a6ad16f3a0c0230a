#pragma once
// The pools of one model: one for each size of page its sequences store, all under one budget, so
// that a limit holds for all of them together. Engine thread only.

#include <cstdint>
#include <map>

#include "cache/page_pool.h"

namespace dms::cache {

/// Pages of each size in bytes that a pass takes at most.
using PageDemand = std::map<int64_t, int64_t>;

class CachePools {
 public:
  /// `limit_bytes` 0: none.
  explicit CachePools(int64_t limit_bytes) : budget_{.limit_bytes = limit_bytes} {}

  /// The pool of pages of that size, made where there is none yet.
  PagePool& pool(int64_t page_bytes);
  MemoryBudget& budget() { return budget_; }
  const MemoryBudget& budget() const { return budget_; }

  /// Of pages in use.
  int64_t used_bytes() const;
  /// What must be taken from the system to meet `demand`.
  int64_t missing_bytes(const PageDemand& demand) const;
  /// Keeps the room in the budget that `demand` needs for the pass that follows.
  void promise(const PageDemand& demand);

 private:
  MemoryBudget budget_;
  std::map<int64_t, PagePool> pools_;  // by page_bytes
};

}  // namespace dms::cache
