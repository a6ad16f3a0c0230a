#pragma once
// Which of the numbers that others count are metrics: a row of a table each.

#include <span>

#include "serve/metrics.h"

namespace dms::serve {

struct CountRow {
  const char* name;
  const char* help;
  double (*read)(const ServerCounts& counts);
};

/// What is now, and what has come up since the start.
std::span<const CountRow> gauge_rows();
std::span<const CountRow> counter_rows();

}  // namespace dms::serve
