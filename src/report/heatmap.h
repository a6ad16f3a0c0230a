#pragma once
// What each layer's heads keep, as an HTML figure: one cell per layer and KV head.

#include <string>
#include <vector>

namespace dms::report {

/// `shares` of tokens kept, [layers][kv_heads]; `when` says after what. Empty where there is no
/// layer. Layers run to the right, heads downwards, the last row is the layer's mean. A cell's
/// value is its tooltip, and stands in it where there is room.
std::string render_retention(const std::vector<std::vector<double>>& shares,
                             const std::string& when = "latest steps");

}  // namespace dms::report
