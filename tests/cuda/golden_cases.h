#pragma once
// Instructions that CUDA kernels reach through wrappers of PTX (ptx.cuh, hopper.cuh), one small
// kernel each, words in and words out. record_golden writes what a card makes of them; golden_test
// compares the device that it runs on, the emulator above all, with what was written.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "cuda/kernels/device.h"

namespace dms::testing_support {

/// How outputs are compared with a card's.
enum class GoldenMatch {
  bits,      // data movement and conversions
  floats,    // float32 within `tolerance` of the sum of the terms' sizes, which is 1 at most
  relative,  // float32 within `tolerance` of themselves
};

struct GoldenCase {
  std::string name{};
  int capability = 80;  // of the device, at least; 90: sm_90a alone
  GoldenMatch match = GoldenMatch::bits;
  double tolerance = 0;
  std::vector<uint32_t> input{};
  size_t output_words = 0;
  /// `in`, `out`: device memory.
  cudaError_t (*launch)(const uint32_t* in, uint32_t* out, cudaStream_t stream) = nullptr;

  friend void PrintTo(const GoldenCase& one, std::ostream* out) { *out << one.name; }
};

/// All cases, with their inputs.
std::vector<GoldenCase> golden_cases();
/// Those of sm_80 and later, and of sm_90a alone.
void add_golden_cases_sm80(std::vector<GoldenCase>& cases);
void add_golden_cases_sm90(std::vector<GoldenCase>& cases);

/// Why device 0 cannot run the case; empty where it can.
std::string golden_problem(const GoldenCase& one);
/// Computes it on device 0.
std::vector<uint32_t> run_golden(const GoldenCase& one);
/// What differs, in words; empty where nothing does. [output_words] each.
std::string golden_difference(const GoldenCase& one,
                              const std::vector<uint32_t>& got,
                              const std::vector<uint32_t>& card);

/// What was recorded: outputs by the case's name, and of which inputs.
struct GoldenRecord {
  std::string device;
  std::map<std::string, std::vector<uint32_t>> inputs;
  std::map<std::string, std::vector<uint32_t>> outputs;
};
void write_golden(const std::filesystem::path& file, const GoldenRecord& record);
GoldenRecord read_golden(const std::filesystem::path& file);

}  // namespace dms::testing_support
