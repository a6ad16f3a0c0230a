#pragma once
// What tests may ask of the emulator and read from it. Tests of kernels do not include it: they are
// the same for a device, and take their options from the environment (README.md). Not thread-safe
// against running kernels.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cuda_emulator {

/// Which of the runnable threads runs next.
enum class Schedule : char { first_in = 'f', last_in = 'l', random = 'r' };

/// When asynchronous copies land. Until then their destination holds NaN bytes.
enum class Landing : char {
  late = 'l',          // when nothing else can run, the oldest first
  newest_first = 'b',  // likewise, the newest first
  at_once = 'e',
  random = 'r',
};

struct Options {
  Schedule schedule = Schedule::first_in;
  Landing landing = Landing::late;
  uint64_t seed = 1;
  unsigned threads = 2;  // of the host: so many blocks or clusters run at once
  bool profile = false;
  bool race = false;  // check shared memory for races
  bool late = false;  // what streams are given is done when something waits for it
  int arch = 90;      // compute capability that the device reports, times ten
  int sm_count = 4;
  size_t memory_bytes = size_t{1} << 30;  // of the device
};

/// As the environment says, until a test changes it.
Options& options();

/// Largest static + dynamic shared memory of a block.
uint32_t max_shared_bytes();

/// Accesses of one source line, by all warps.
struct SiteReport {
  std::string opcode;
  std::string file;
  int line = 0;
  bool is_shared = false;
  uint64_t requests = 0;  // of warps
  uint64_t units = 0;     // global: 32-byte sectors; shared: wavefronts
  uint64_t ideal = 0;     // units that the same bytes would need at best
};

/// What one launch did.
struct Report {
  std::string kernel;  // mangled
  uint32_t grid[3] = {};
  uint32_t block[3] = {};
  uint32_t shared_bytes = 0;
  uint64_t load_bytes = 0;  // of global memory, all threads
  uint64_t store_bytes = 0;
  uint64_t async_bytes = 0;  // by cp.async
  uint64_t bulk_bytes = 0;   // by cp.async.bulk and TMA, to shared memory
  double matrix_flop = 0;
  uint64_t switches = 0;  // between fibers
  // With Options::profile:
  uint64_t unique_read_bytes = 0;  // sectors of global memory that were touched
  uint64_t unique_write_bytes = 0;
  std::vector<SiteReport> sites;
};

/// One per launch that ran, those of graphs among them, in order.
const std::vector<Report>& reports();
void clear_reports();

/// Text of the last error, with the place where a kernel failed.
const std::string& last_message();

/// Forgets errors, also those that stay on a real device until its context ends.
void reset_errors();

}  // namespace cuda_emulator
