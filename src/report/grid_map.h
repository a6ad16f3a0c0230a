#pragma once
// Shares over two quantities as an HTML figure: what is found at each depth of each length.

#include <string>
#include <vector>

namespace dms::report {

struct GridMap {
  std::string title;
  std::string unit;
  std::string x_name;
  std::string y_name;
  std::vector<std::string> x_labels;
  std::vector<std::string> y_labels;
  std::vector<std::vector<double>> shares;  // [y][x], 0 to 1; NaN: not measured
};

/// Empty where there is no cell. x runs to the right, y downwards; a cell holds its share in
/// percent.
std::string render(const GridMap& map);

}  // namespace dms::report
