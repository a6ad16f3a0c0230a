// The quantiser's search with plain C++.

#include "kernels/quantise_table.h"

namespace dms::kernels {
namespace {

constexpr int64_t kLanes = 4;

#include "kernels/cpu/quantise.inc.h"

}  // namespace

const QuantiseTable kQuantiseGeneric{.quantise_block = quantise_block};

}  // namespace dms::kernels
