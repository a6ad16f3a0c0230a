// Writes what this device makes of every golden case to a file for tests/cuda/golden:
//
//   record_golden FILE.json
//
// Meant for a card. What it writes elsewhere shows that it works, and proves nothing.

#include <cstdio>
#include <exception>

#include "cuda/device_buffer.h"
#include "cuda/golden_cases.h"

namespace {

using namespace dms::testing_support;

int record(const char* file) {
  cudaDeviceProp device{};
  require_cuda(cudaGetDeviceProperties(&device, 0));
  GoldenRecord record{.device = device.name, .inputs = {}, .outputs = {}};
  for (const GoldenCase& one : golden_cases()) {
    if (const std::string problem = golden_problem(one); !problem.empty()) {
      std::printf("%s: left out: %s\n", one.name.c_str(), problem.c_str());
      continue;
    }
    record.inputs[one.name] = one.input;
    record.outputs[one.name] = run_golden(one);
    std::printf("%s: %zu words\n", one.name.c_str(), one.output_words);
  }
  write_golden(file, record);
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: record_golden FILE.json\n");
    return 2;
  }
  try {
    return record(arguments[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "record_golden: %s\n", error.what());
    return 1;
  }
}
