#pragma once
// The memory of a cache as a record's numbers, and back.

#include "eval/contender.h"
#include "eval/store.h"

namespace dms::eval {

void put_memory(const CacheMemory& memory, Record& record);

/// Memory of several records: the cache's numbers are sums, `kv_bytes` and `peak_bytes` the most of
/// any.
struct MemoryTotal {
  KvStats kv{};
  int64_t kv_bytes = 0;
  int64_t peak_bytes = 0;

  void add(const Record& record);
};

}  // namespace dms::eval
