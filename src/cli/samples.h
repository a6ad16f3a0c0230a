#pragma once
// Repeated measurements of one quantity.

#include <vector>

#include "cli/output.h"

namespace dms::cli {

struct Samples {
  std::vector<double> values;

  double median() const;
  double min() const;
  double max() const;
  /// The smallest value that at least `percent` of a hundred do not exceed.
  double percentile(double percent) const;
  /// Each value as a share of `whole`.
  Samples of(double whole) const;
  /// {"median", "min", "max", "n"}; the first three are null where nothing was measured.
  OutputJson json() const;
  /// {"median", "p99"}, null where nothing was measured.
  OutputJson tail_json() const;
};

}  // namespace dms::cli
