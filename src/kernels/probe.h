#pragma once
// What this machine can do at best: the yardstick every benchmark states its share of.

#include <cstdint>

namespace dms::kernels {

struct ProbeResult {
  double read_gb_s = 0;     // streaming reads over at least 1 GiB, best of several
  double f32_gflop_s = 0;   // FMA peak in registers
  double bf16_gflop_s = 0;  // vdpbf16ps peak in registers; 0 where the CPU lacks it
  double int8_gop_s = 0;    // vpdpbusd's or vpmaddubsw's; 0 where there is neither
};

/// Runs for about two seconds on `threads` threads.
ProbeResult probe(int64_t threads);

}  // namespace dms::kernels
