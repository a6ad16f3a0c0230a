// The quantiser's search with 256-bit vectors.

#include "kernels/quantise_table.h"

namespace dms::kernels {
namespace {

constexpr int64_t kLanes = 8;

#include "kernels/cpu/quantise.inc.h"

}  // namespace

extern const QuantiseTable kQuantiseAvx2{.quantise_block = quantise_block};

}  // namespace dms::kernels
