#pragma once
// The pools of one model: one for each number type its sequences store, all under one budget, so
// that a limit holds for all of them together. Engine thread only.

#include <cstdint>
#include <map>

#include "base/dtype.h"
#include "cache/page_pool.h"

namespace dms::cache {

/// Pages of each type that a pass takes at most.
using PageDemand = std::map<DType, int64_t>;

class CachePools {
 public:
  /// `limit_bytes` 0: none.
  CachePools(int64_t head_dim, int64_t limit_bytes)
      : head_dim_(head_dim), budget_{.limit_bytes = limit_bytes} {}

  /// The pool of pages of `type`, made where there is none yet.
  PagePool& pool(DType type);
  MemoryBudget& budget() { return budget_; }
  const MemoryBudget& budget() const { return budget_; }

  /// What must be taken from the system to meet `demand`.
  int64_t missing_bytes(const PageDemand& demand) const;
  /// Keeps the room in the budget that `demand` needs for the pass that follows.
  void promise(const PageDemand& demand);

 private:
  int64_t head_dim_;
  MemoryBudget budget_;
  std::map<DType, PagePool> pools_;
};

}  // namespace dms::cache
