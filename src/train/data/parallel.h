#pragma once
// Independent pieces of work on several threads, with results that do not depend on their number.

#include <cstdint>
#include <functional>

namespace dms::train::data {

/// Calls work(0) … work(count - 1), each once, handed out in order; returns when all are done.
/// After an exception no further piece is begun, and the exception of the smallest index is thrown.
void parallel_for(int64_t count, int64_t threads, const std::function<void(int64_t)>& work);

}  // namespace dms::train::data
