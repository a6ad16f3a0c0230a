// Small matrices with vectors of 32 bytes.

#include "kernels/small_matrix_table.h"

namespace dms::kernels {
namespace {

constexpr int64_t kVectorBytes = 32;

#include "kernels/cpu/small_matrices.inc.h"
#include "kernels/cpu/tridiagonal.inc.h"

}  // namespace

extern const SmallMatrixTable kSmallMatricesAvx2{.multiply_f32 = multiply<float>,
                                                 .multiply_f64 = multiply<double>,
                                                 .gram_f32 = gram<float>,
                                                 .gram_f64 = gram<double>,
                                                 .rotate = rotate,
                                                 .tridiagonalise = tridiagonalise};

}  // namespace dms::kernels
