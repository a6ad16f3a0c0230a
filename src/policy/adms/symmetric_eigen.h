#pragma once
// Eigenvalues and eigenvectors of a small symmetric matrix: Householder's tridiagonal form, then
// implicit QL steps (Wilkinson's shift) whose rotations are applied to whole rows at a time.

#include <cstdint>
#include <vector>

#include "kernels/small_matrix.h"

namespace dms::policy {

struct SymmetricEigen {
  std::vector<double> values;            // falling
  kernels::SmallMatrix<double> vectors;  // by rows, orthonormal, as the values
};

/// Of a matrix with numbers that are not finite: as of zeros.
SymmetricEigen symmetric_eigen(const kernels::SmallMatrix<double>& matrix);

}  // namespace dms::policy
