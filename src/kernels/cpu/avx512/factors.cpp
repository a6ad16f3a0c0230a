// Products with factors with vectors of 16 floats.

#include "kernels/factor_table.h"
#include "kernels/kernel_table.h"

namespace dms::kernels {
namespace {

constexpr int kLanes = 16;

#include "kernels/cpu/factors.inc.h"

}  // namespace

extern const FactorTable kFactorsAvx512{.multiply_f32 = multiply<Floats>,
                                        .multiply_bf16 = multiply<Bf16>,
                                        .narrow = narrow_all,
                                        .widen = widen_all};

}  // namespace dms::kernels
