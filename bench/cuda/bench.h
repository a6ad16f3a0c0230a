#pragma once
// How benches of CUDA kernels measure, and the lines they write: one JSON object a case, to
// standard output, as soon as it is known.

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "cuda/memory.h"

namespace dms::bench {

/// What a case must move and compute at least; 0: not said.
struct Work {
  double bytes = 0;
  double operations = 0;
};

struct Settings {
  bool tiny = false;      // shapes and repeats that an emulator runs in seconds
  std::string only;       // names of benches, each between commas, or empty for all
  double limit_s = 1e9;   // no new case after so many seconds
  double case_s = 0.4;    // of repeats of one case
  int most_repeats = 50;  // of one case
};

/// Reads --tiny, --only=NAME,... and --limit=SECONDS; throws InputError at anything else.
Settings read_settings(int count, char** arguments);

using Launch = std::function<cudaError_t(cudaStream_t)>;
using Taken = std::function<std::vector<double>()>;

class Bench {
 public:
  explicit Bench(const Settings& settings);

  const Settings& settings() const { return settings_; }
  cudaStream_t stream() const { return stream_.get(); }
  int compute_capability() const { return capability_; }  // 90: 9.0

  /// Whether cases of this name are wanted and time is left.
  bool wants(const std::string& name) const;

  /// Measures `launch` between two events, after `before` (not measured) and a flush of the L2
  /// cache: one call to warm up, then the median of at least three. Writes `fields` and the
  /// numbers. `taken`: where only parts of `launch` count, their milliseconds in each repeat since
  /// it was last called.
  void run(OrderedJson fields,
           const Work& work,
           const Launch& launch,
           const Launch& before = {},
           const Taken& taken = {});

  /// Writes `fields` as a line.
  void write(const OrderedJson& fields) const;

  double seconds() const;  // since the start

 private:
  std::vector<double> milliseconds(const Launch& launch,
                                   const Launch& before,
                                   const Taken& taken,
                                   int repeats);
  void flush_cache();

  Settings settings_;
  double start_s_ = 0;
  int capability_ = 0;
  cuda::Stream stream_;
  cuda::DeviceBuffer flushed_;  // twice the L2 cache
};

/// Runs `benches` on device 0; what they throw goes to standard error and makes the status 1.
int run_benches(int count,
                char** arguments,
                const std::vector<std::function<void(Bench&)>>& benches);

}  // namespace dms::bench
