#pragma once
// The instruction sets this CPU has, for tests that hold each to the same expectation.

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/isa.h"

namespace dms::kernels {

inline std::vector<Isa> isas_of_this_cpu() {
  std::vector<Isa> isas;
  for (const Isa isa : {Isa::generic, Isa::avx2, Isa::avx512}) {
    if (isa_supported(isa)) isas.push_back(isa);
  }
  return isas;
}

/// A trace for failures: ISA and seed.
inline std::string trace_of(Isa isa, uint64_t seed) {
  return std::string(isa_name(isa)) + ", DMS_TEST_SEED=" + std::to_string(seed);
}

}  // namespace dms::kernels
