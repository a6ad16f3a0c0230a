#pragma once
// Between rows as they are and as a descent wants them, all columns alike: one rate cannot fit
// channels of which some are a hundred times as large as others.

#include <cstdint>
#include <span>
#include <vector>

#include "base/random.h"
#include "llm/mlp.h"
#include "llm/regression_rows.h"

namespace dms::llm {

class RegressionScaling {
 public:
  /// By means and deviations of these rows' columns, of which there are some.
  explicit RegressionScaling(const RegressionRows& rows);

  MlpBatch batch(const RegressionRows& rows, std::span<const int64_t> chosen) const;

  /// A network for scaled rows that says what the linear fit of rows as they are says, by the first
  /// two hidden units of each target; the others are drawn, and count for nothing yet.
  Mlp start(const LinearFit& linear, int64_t width, Random& random) const;
  /// The same network for rows as they are.
  Mlp restored(const Mlp& mlp) const;

 private:
  struct Columns {
    std::vector<double> means;
    std::vector<double> deviations;
  };
  template <class Read>
  static Columns columns_of(int64_t rows, int64_t columns, Read read);

  Columns x_;
  Columns y_;
};

}  // namespace dms::llm
