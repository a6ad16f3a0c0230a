#pragma once
// Rounding that looks at what comes out: each weight is rounded so as to make up for the errors of
// those rounded before it, in the measure of the calibration's inputs. This is GPTQ (Frantar et
// al., 2022) in the form of Babai's nearest plane (Chen et al., 2025): with sum x x^T = U^T U, the
// columns are rounded from the last to the first, code j to w_j + sum_{i > j} U_ji e_i / U_jj.

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/quantise.h"
#include "quantise/input_moments.h"

namespace dms::quantise {

class FeedbackRounding {
 public:
  /// Damps the moments by a hundredth of their mean diagonal, and factors them. Uses the caller's
  /// threads.
  explicit FeedbackRounding(const InputMoments& moments);

  /// [columns]: mean squares of the inputs, the importance of a column's errors by itself.
  std::span<const float> importance() const { return importance_; }

  /// Chooses the codes of `rows`, float32 [count, columns], anew under the scales (and minima) that
  /// `quantised` has. Uses the caller's threads.
  void round(std::span<const float> rows, kernels::QuantisedRowsBuffer& quantised) const;

 private:
  void factor(std::vector<float> sums);

  int64_t columns_;
  std::vector<float> importance_;
  std::vector<int64_t> order_;  // the column at each place: what matters most is rounded first
  std::vector<float> upper_;    // U [columns, columns] in that order
};

}  // namespace dms::quantise
