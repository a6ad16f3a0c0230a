#pragma once
// Which contenders belong together in a chart of what is lost against bytes.
//
// One thing in several sizes is a series: one policy, with one adapter, as what another training
// has left behind is another thing, and the same settings but for how many entries stay and in how
// many bits. A line joins those of a series that differ in one of these two.

#include <string>
#include <vector>

namespace dms::eval {

struct SeriesPlace {
  std::string series;  // its name, with what tells its adapter from others of the policy: "dms 8x"
  std::vector<std::string> lines;  // of the series; those that name the same one are joined

  bool operator==(const SeriesPlace&) const = default;
};

/// For each label, as --policies has them.
std::vector<SeriesPlace> series_of(const std::vector<std::string>& labels);

}  // namespace dms::eval
