#pragma once
// The space of a small symmetric matrix's largest eigenvalues: Householder's tridiagonal form, then
// implicit QL steps (Wilkinson's shift) until the others are split off. Which vectors span it does
// not matter to a product's truncation, so those that do are not told apart.

#include <cstdint>

#include "kernels/small_matrix.h"

namespace dms::policy {

/// [rank, n], orthonormal rows. Of a matrix with numbers that are not finite: as of zeros.
kernels::SmallMatrix<double> leading_space(const kernels::SmallMatrix<double>& matrix,
                                           int64_t rank);

}  // namespace dms::policy
