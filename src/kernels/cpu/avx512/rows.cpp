// Row operations with vectors of 16 floats.

#include "kernels/kernel_table.h"

namespace dms::kernels {
namespace {

constexpr int kLanes = 16;

#include "kernels/cpu/rows.inc.h"

}  // namespace

extern const RowTable kRowsAvx512{.sum = sum,
                                  .sum_products = sum_products,
                                  .sum_squared_deviations = sum_squared_deviations,
                                  .normalise = normalise,
                                  .apply = apply,
                                  .soft_cap = soft_cap,
                                  .soften = soften,
                                  .rotate = rotate};

}  // namespace dms::kernels
