#pragma once
// Points with names over two quantities, of which less is better each time, as an HTML figure: what
// a policy loses against what it costs. Points of one series look alike, and lines join them; a
// dashed line joins those that no other point beats in both.

#include <string>
#include <vector>

namespace dms::report {

struct NamedPoint {
  std::string name;
  double x = 0.0;
  double y = 0.0;
  std::string series{};  // its name; empty, or the only one of its name: a point by itself
  std::vector<std::string> lines{};  // of the series, each through those that name it; empty: one
};

struct Scatter {
  std::string title;
  std::string unit;    // of y, with its name
  std::string x_name;  // with its unit
  std::vector<NamedPoint> points;
  bool may_be_log = false;  // both axes
  bool is_percent = false;  // y goes from 0 to 100, whatever the values
};

/// The points that no other is at most as large as in both and smaller in one, by rising x; those
/// that are not drawable left out.
std::vector<NamedPoint> pareto_front(std::vector<NamedPoint> points);

std::string render(const Scatter& chart);

}  // namespace dms::report
