#pragma once
// Ridge regression from what rows add up to: any number of rows in memory of the number of columns
// squared, in float64. As scikit-learn's Ridge: the intercept is not penalised.

#include <cstdint>
#include <span>
#include <vector>

namespace dms::llm {

struct LinearFit {
  std::vector<float> weights;     // [targets, columns]
  std::vector<float> intercepts;  // [targets]
};

class Ridge {
 public:
  Ridge(int64_t columns, int64_t targets);

  /// `x`: float32 [rows, columns]; `y`: [rows, targets]. Uses the caller's threads.
  void add(std::span<const float> x, std::span<const float> y);

  /// As if the other's rows were added, which are of the same shape.
  void add(const Ridge& other);

  /// Minimises the sum of |y - W x - b|^2 + penalty |W|^2; the penalty is positive. Uses the
  /// caller's threads.
  LinearFit solve(double penalty) const;

  int64_t rows() const { return rows_; }

 private:
  void add_products(const double* rows, int64_t count);

  int64_t columns_;
  int64_t targets_;
  int64_t rows_ = 0;
  std::vector<double> products_;  // [columns, columns]: sum of x x^T, lower triangle
  std::vector<double> crossed_;   // [targets, columns]: sum of y x^T
  std::vector<double> x_sums_;    // [columns]
  std::vector<double> y_sums_;    // [targets]
};

}  // namespace dms::llm
