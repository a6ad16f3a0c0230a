#pragma once
// The pools of one model: one for each size of page its sequences store, all under one budget, so
// that a limit holds for all of them together. Engine thread only.

#include <cstdint>
#include <map>
#include <memory>
#include <utility>

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

  /// Of pages in use, and what counts beside them.
  int64_t used_bytes() const;
  /// What counts beside pages.
  int64_t beside_bytes() const { return beside_bytes_; }
  /// What must be taken from the system to meet `demand`.
  int64_t missing_bytes(const PageDemand& demand) const;
  /// Keeps the room in the budget that `demand` and `beside` pages need for the pass that follows.
  void promise(const PageDemand& demand, int64_t beside);

 private:
  friend class CountedBytes;
  void count_beside(int64_t bytes);

  MemoryBudget budget_;
  int64_t beside_bytes_ = 0;
  int64_t promised_beside_ = 0;
  std::map<int64_t, PagePool> pools_;  // by page_bytes
};

/// Bytes beside pages that count against the budget of pools.
class CountedBytes {
 public:
  explicit CountedBytes(std::shared_ptr<CachePools> pools) : pools_(std::move(pools)) {}
  ~CountedBytes() { set(0); }
  CountedBytes(const CountedBytes&) = delete;
  CountedBytes& operator=(const CountedBytes&) = delete;

  int64_t bytes() const { return bytes_; }
  /// They are there already: whatever the limit is.
  void set(int64_t bytes) { pools_->count_beside(bytes - std::exchange(bytes_, bytes)); }

 private:
  std::shared_ptr<CachePools> pools_;
  int64_t bytes_ = 0;
};

}  // namespace dms::cache
