#pragma once
// What `dms bench --methods` measured, as a table, JSON, CSV and a page.

#include <vector>

#include "cli/bench_methods.h"
#include "cli/bench_options.h"
#include "cli/output.h"

namespace dms::cli {

/// A row that failed has no numbers but its context, and says why in `failed`.
OutputJson methods_json(const BenchOptions& options, const std::vector<MethodRun>& rows);

/// To standard output, --csv and --html; nothing where there is no row.
void write_methods(const BenchOptions& options, const std::vector<MethodRun>& rows);

}  // namespace dms::cli
