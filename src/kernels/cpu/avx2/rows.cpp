// Row operations with vectors of 8 floats.

#include "kernels/kernel_table.h"

namespace dms::kernels {
namespace {

constexpr int kLanes = 8;

#include "kernels/cpu/rows.inc.h"

}  // namespace

extern const RowTable kRowsAvx2{.sum = sum,
                                .sum_products = sum_products,
                                .sum_squared_deviations = sum_squared_deviations,
                                .normalise = normalise,
                                .apply = apply,
                                .soft_cap = soft_cap,
                                .soften = soften,
                                .rotate = rotate};

}  // namespace dms::kernels
