#pragma once
// The progress of preparing data, as one line on a terminal.

#include "train/data/batches.h"

namespace dms::train {

/// Rewrites a line on standard error; silent where that is no terminal.
DataProgress terminal_progress();

}  // namespace dms::train
