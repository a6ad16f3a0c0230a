#pragma once
// What this machine can do at best, for stating a measurement's share of it.

#include <cstdint>
#include <string>

namespace dms {

struct MachineProbe {
  std::string cpu;            // model name
  std::string isa;            // the kernels' instruction set: generic | avx2 | avx512
  int64_t cores = 0;          // that this process may use
  int64_t threads = 0;        // that the probe ran on
  double bandwidth_gb_s = 0;  // streaming reads, best of several over at least 1 GiB
  double f32_gflops = 0;      // FMA peak
  double bf16_gflops = 0;     // bf16 dot-product peak; 0 where the CPU has none
  double int8_gops = 0;       // int8 dot-product peak; 0 where the CPU has none
};

/// Runs for about two seconds. threads = 0: all cores.
MachineProbe probe_machine(int64_t threads = 0);

}  // namespace dms
