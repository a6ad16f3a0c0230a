#pragma once
// The space of a small symmetric matrix's largest eigenvalues: Householder's tridiagonal form, then
// implicit QL steps (Wilkinson's shift) until the others are split off. Which vectors span it does
// not matter to a product's truncation, so those that do are not told apart.

#include <cstdint>

#include "kernels/small_matrix.h"

namespace dms::policy {

struct SpaceRequest {
  const kernels::SmallMatrix<double>& matrix;  // [n, n]
  int64_t rank = 0;                            // 0..n
  /// Orthonormal rows, [rank, n]. Of a matrix with numbers that are not finite: as of zeros.
  kernels::SmallMatrix<double>& space;
};

/// Of two matrices in little more time than of one: each number of a QL step waits for the one
/// before it, so the steps of both go side by side. The bits are those of each alone.
void leading_spaces(const SpaceRequest& a, const SpaceRequest& b);

}  // namespace dms::policy
