#pragma once
// What each layer's heads keep, as an HTML figure: one cell per layer and KV head.

#include <string>

#include "train/report/metrics.h"

namespace dms::train::report {

/// The figure; empty where there is no layer. Layers run to the right, heads downwards, the last
/// row is the layer's mean. A cell's value is its tooltip, and stands in it where there is room.
std::string render(const Retention& retention);

}  // namespace dms::train::report
