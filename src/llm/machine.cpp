#include "dms/machine.h"

#include <fstream>

#include "base/threads.h"
#include "kernels/isa.h"
#include "kernels/probe.h"

namespace dms {
namespace {

std::string cpu_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (!line.starts_with("model name")) continue;
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

}  // namespace

MachineProbe probe_machine(int64_t threads) {
  const int64_t used = threads > 0 ? threads : available_cores();
  const kernels::ProbeResult result = kernels::probe(used);
  return {.cpu = cpu_name(),
          .isa = std::string(kernels::isa_name(kernels::active_isa())),
          .cores = available_cores(),
          .threads = used,
          .bandwidth_gb_s = result.read_gb_s,
          .f32_gflops = result.f32_gflop_s,
          .bf16_gflops = result.bf16_gflop_s,
          .int8_gops = result.int8_gop_s};
}

}  // namespace dms
