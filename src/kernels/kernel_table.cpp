#include "kernels/kernel_table.h"

#include "kernels/factor_table.h"
#include "kernels/isa.h"
#include "kernels/quantise_table.h"
#include "kernels/small_matrix_table.h"

namespace dms::kernels {
namespace {

template <class Table>
const Table& choose(const Table& generic, const Table& avx2, const Table& avx512) {
  switch (active_isa()) {
    case Isa::avx512:
      return avx512;
    case Isa::avx2:
      return avx2;
    case Isa::generic:
      break;
  }
  return generic;
}

}  // namespace

const MatmulTable& matmul_table() { return choose(kMatmulGeneric, kMatmulAvx2, kMatmulAvx512); }

const QuantisedMatmulTable& quantised_matmul_table() {
  return choose(kQuantisedGeneric, kQuantisedAvx2, kQuantisedAvx512);
}

const RowTable& row_table() { return choose(kRowsGeneric, kRowsAvx2, kRowsAvx512); }

const FactorTable& factor_table() { return choose(kFactorsGeneric, kFactorsAvx2, kFactorsAvx512); }

const SmallMatrixTable& small_matrix_table() {
  return choose(kSmallMatricesGeneric, kSmallMatricesAvx2, kSmallMatricesAvx512);
}

const ProbeTable& probe_table() { return choose(kProbeGeneric, kProbeAvx2, kProbeAvx512); }

const QuantiseTable& quantise_table() {
  return choose(kQuantiseGeneric, kQuantiseAvx2, kQuantiseAvx512);
}

}  // namespace dms::kernels
