#include "cuda_emulator/runtime/launch.h"

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "cuda_emulator/cuda_emulator.h"
#include "cuda_emulator/runtime/sanitizers.h"
#include "cuda_emulator/runtime/state.h"

namespace cuda_emulator {
namespace {

// Codes of cudaError_t.
constexpr int kInvalidValue = 1, kInvalidConfiguration = 9;

Kernel* kernels;

std::vector<Report> all_reports;

u32 params_bytes(const Kernel& kernel) {
  u32 end = 0;
  for (int i = 0; i < kernel.param_count; i++) {
    end = std::max(end, kernel.params[i].offset + kernel.params[i].size);
  }
  return (end + 127) / 128 * 128 + 128;
}

Params allocate_params(const Kernel& kernel) {
  const u32 size = params_bytes(kernel);
  Params params(static_cast<u8*>(std::aligned_alloc(128, size)), std::free);
  std::memset(params.get(), 0xff, size);
  return params;
}

/// Workers are kept: their stacks and shared memory cost more than a small kernel.
class WorkerPool {
 public:
  std::unique_ptr<Worker> take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return std::make_unique<Worker>();
    auto worker = std::move(idle_.back());
    idle_.pop_back();
    return worker;
  }
  void put(std::unique_ptr<Worker> worker) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(worker));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Worker>> idle_;
};

WorkerPool& pool() {
  static WorkerPool instance;
  return instance;
}

void work(Launch& launch, u64 clusters, u32 index) {
  auto worker = pool().take();
  worker->counters.reset(launch.kernel->site_count);
  worker->accesses.clear();
  worker->launch = &launch;
  worker->random_state = options().seed * 0x9e3779b97f4a7c15ull + index + 1;
  worker->tsan_fiber = tsan_current_fiber();
  this_worker = worker.get();
  for (u64 cluster; !launch.failed && (cluster = launch.next++) < clusters;) {
    run_cluster(*worker, launch, cluster);
  }
  {
    const std::lock_guard lock(launch.mutex);
    launch.counters.add(worker->counters);
  }
  pool().put(std::move(worker));
}

/// Sites of the same instruction and line are one in the report: templates and unrolled loops
/// repeat them.
void add_site(std::vector<SiteReport>& sites, const Site& site, const SiteCounts& counts) {
  const auto is_same = [&](const SiteReport& other) {
    return other.line == site.line && other.opcode == site.opcode && other.file == site.file;
  };
  auto found = std::ranges::find_if(sites, is_same);
  if (found == sites.end()) {
    const bool is_shared = site.kind == 's' || site.kind == 'S' || site.kind == 'l';
    sites.push_back({site.opcode, site.file, site.line, is_shared, 0, 0, 0});
    found = std::prev(sites.end());
  }
  found->requests += counts.requests;
  found->units += counts.units;
  found->ideal += counts.ideal;
}

Report report_of(const Launch& launch) {
  const Counters& counters = launch.counters;
  Report report;
  report.kernel = launch.kernel->name;
  std::copy_n(launch.grid, 3, report.grid);
  std::copy_n(launch.block, 3, report.block);
  report.shared_bytes = launch.shared_size;
  report.async_bytes = counters.async_bytes;
  report.bulk_bytes = counters.bulk_bytes;
  report.switches = counters.switches;
  report.unique_read_bytes = counters.read_sectors.size() * 32;
  report.unique_write_bytes = counters.written_sectors.size() * 32;
  for (int i = 0; i < launch.kernel->site_count; i++) {
    const Site& site = launch.kernel->sites[i];
    const u64 executions = counters.executions[static_cast<size_t>(i)];
    const u64 bytes = executions * static_cast<u64>(site.bytes);
    if (site.kind == 'g') report.load_bytes += bytes;
    if (site.kind == 'G') report.store_bytes += bytes;
    if (site.kind == 'm') report.matrix_flop += static_cast<double>(bytes) / 32;
    const SiteCounts& counts = counters.sites[static_cast<size_t>(i)];
    if (counts.requests) add_site(report.sites, site, counts);
  }
  return report;
}

}  // namespace

bool register_kernel(Kernel* kernel) {
  kernel->next = kernels;
  kernels = kernel;
  return true;
}

Kernel* find_kernel(const char* name) {
  for (Kernel* kernel = kernels; kernel; kernel = kernel->next) {
    if (!std::strcmp(kernel->name, name)) return kernel;
  }
  return nullptr;
}

int check_launch(const Kernel& kernel, const LaunchShape& shape, std::string& message) {
  const u32* const cluster = shape.cluster[0] ? shape.cluster : kernel.cluster;
  for (int axis = 0; axis < 3; axis++) {
    if (shape.grid[axis] == 0 || shape.grid[axis] % std::max(cluster[axis], 1u) != 0) {
      message = "grid is zero or no multiple of the cluster";
      return kInvalidConfiguration;
    }
  }
  const u64 threads = u64{shape.block[0]} * shape.block[1] * shape.block[2];
  if (threads == 0 || threads > 1024 || (kernel.max_threads && threads > kernel.max_threads)) {
    message = "block of " + std::to_string(threads) + " threads exceeds the kernel's launch bounds";
    return kInvalidConfiguration;
  }
  if (shape.grid[1] > 65535 || shape.grid[2] > 65535) {
    message = "grid y or z over 65535";
    return kInvalidConfiguration;
  }
  const u64 shared = u64{kernel.static_shared} + shape.dynamic_shared;
  if (shared > max_shared_bytes()) {
    message =
        "shared memory " + std::to_string(shared) + " over " + std::to_string(max_shared_bytes());
    return kInvalidValue;
  }
  return 0;
}

Params copy_params(const Kernel& kernel, void* const* args) {
  Params params = allocate_params(kernel);
  for (int i = 0; i < kernel.param_count; i++) {
    std::memcpy(params.get() + kernel.params[i].offset, args[i], kernel.params[i].size);
  }
  return params;
}

Params clone_params(const Kernel& kernel, const Params& params) {
  Params copy = allocate_params(kernel);
  std::memcpy(copy.get(), params.get(), params_bytes(kernel));
  return copy;
}

int launch(Kernel& kernel, const LaunchShape& shape, const Params& params, std::string& message) {
  Launch launch;
  launch.kernel = &kernel;
  launch.params_size = params_bytes(kernel);
  launch.params = params.get();
  launch.dynamic_shared = shape.dynamic_shared;
  launch.shared_size = kernel.static_shared + shape.dynamic_shared;
  const u32* const cluster = shape.cluster[0] ? shape.cluster : kernel.cluster;
  u64 clusters = 1;
  for (int axis = 0; axis < 3; axis++) {
    launch.grid[axis] = shape.grid[axis];
    launch.block[axis] = shape.block[axis];
    launch.cluster[axis] = std::max(cluster[axis], 1u);
    clusters *= launch.grid[axis] / launch.cluster[axis];
  }
  launch.counters.reset(kernel.site_count);
  profile_is_on = options().profile;
  race_check_is_on = options().race;
  const u64 workers = std::clamp<u64>(options().threads, 1, clusters);
  std::vector<std::thread> threads;
  for (u32 i = 1; i < workers; i++) threads.emplace_back([&, i] { work(launch, clusters, i); });
  work(launch, clusters, 0);
  for (std::thread& thread : threads) thread.join();
  all_reports.push_back(report_of(launch));
  message = launch.message;
  return launch.error;
}

const std::vector<Report>& reports() { return all_reports; }
void clear_reports() { all_reports.clear(); }

Options& options() {
  static Options instance = [] {
    Options options;
    const auto number = [](const char* name, auto& value) {
      if (const char* text = std::getenv(name)) {
        value =
            static_cast<std::remove_reference_t<decltype(value)>>(std::strtoull(text, nullptr, 10));
      }
    };
    if (const char* text = std::getenv("CUEMU_SCHED")) options.schedule = Schedule{*text};
    if (const char* text = std::getenv("CUEMU_ASYNC")) options.landing = Landing{*text};
    number("CUEMU_SEED", options.seed);
    number("CUEMU_THREADS", options.threads);
    number("CUEMU_RACE", options.race);
    number("CUEMU_LATE", options.late);
    number("CUEMU_PROFILE", options.profile);
    number("CUEMU_ARCH", options.arch);
    number("CUEMU_SMS", options.sm_count);
    number("CUEMU_MEMORY", options.memory_bytes);
    return options;
  }();
  return instance;
}

uint32_t max_shared_bytes() {
  switch (options().arch) {
    case 80:
    case 87:
      return 163 << 10;
    case 86:
    case 89:
    case 120:
      return 99 << 10;
    default:
      return 227 << 10;
  }
}

}  // namespace cuda_emulator
