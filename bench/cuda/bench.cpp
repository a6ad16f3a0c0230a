#include "bench.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <exception>
#include <string_view>

#include "dms/error.h"
#include "timed_event.h"

namespace dms::bench {
namespace {

double now_s() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(since).count();
}

double number(std::string_view text, const std::string& option) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) {
    throw InputError({.where = option, .what = "not a number", .got = std::string(text)});
  }
  return value;
}

int attribute(cudaDeviceAttr which) {
  int value = 0;
  cuda::check(cudaDeviceGetAttribute(&value, which, 0), "asking for the device's properties");
  return value;
}

}  // namespace

Settings read_settings(int count, char** arguments) {
  Settings settings;
  for (int i = 1; i < count; ++i) {
    const std::string_view argument = arguments[i];
    if (argument == "--tiny") {
      settings.tiny = true;
    } else if (argument.starts_with("--only=")) {
      settings.only = std::string(",").append(argument.substr(7)).append(",");
    } else if (argument.starts_with("--limit=")) {
      settings.limit_s = number(argument.substr(8), "--limit");
    } else {
      throw InputError({.where = "command line",
                        .what = "unknown argument",
                        .got = std::string(argument),
                        .expected = "--tiny, --only=NAME,... or --limit=SECONDS"});
    }
  }
  return settings;
}

Bench::Bench(const Settings& settings) : settings_(settings), start_s_(now_s()) {
  cudaDeviceProp device{};
  cuda::check(cudaGetDeviceProperties(&device, 0), "asking for the device's properties");
  capability_ = 10 * attribute(cudaDevAttrComputeCapabilityMajor) +
                attribute(cudaDevAttrComputeCapabilityMinor);
  const size_t flushed = settings.tiny ? 256 : 2 * static_cast<size_t>(device.l2CacheSize);
  flushed_ = cuda::DeviceBuffer(flushed, "flushing the L2 cache");
  write({{"bench", "device"},
         {"name", std::string(device.name)},
         {"compute_capability", capability_},
         {"multiprocessors", device.multiProcessorCount},
         {"l2_bytes", device.l2CacheSize},
         {"memory_bytes", device.totalGlobalMem},
         {"tiny", settings.tiny}});
}

double Bench::seconds() const { return now_s() - start_s_; }

bool Bench::wants(const std::string& name) const {
  const bool named =
      settings_.only.empty() || settings_.only.find("," + name + ",") != std::string::npos;
  return named && seconds() < settings_.limit_s;
}

void Bench::flush_cache() {
  cuda::check(cudaMemsetAsync(flushed_.data(), 1, flushed_.bytes(), stream()), "flushing");
}

std::vector<double> Bench::milliseconds(const Launch& launch,
                                        const Launch& before,
                                        const Taken& taken,
                                        int repeats) {
  // Everything is put into the stream at once, so that the host's own time never shows.
  std::vector<TimedEvent> begins(static_cast<size_t>(repeats));
  std::vector<TimedEvent> ends(static_cast<size_t>(repeats));
  for (size_t i = 0; i < begins.size(); ++i) {
    if (before) cuda::check(before(stream()), "preparing a repeat");
    flush_cache();
    begins[i].record(stream());
    cuda::check(launch(stream()), "launching what is measured");
    ends[i].record(stream());
  }
  stream_.synchronize();
  std::vector<double> times;
  if (taken) {
    times = taken();
  } else {
    for (size_t i = 0; i < begins.size(); ++i) {
      times.push_back(ends[i].milliseconds_since(begins[i]));
    }
  }
  std::sort(times.begin(), times.end());
  return times;
}

void Bench::run(OrderedJson fields,
                const Work& work,
                const Launch& launch,
                const Launch& before,
                const Taken& taken) {
  const double first_ms = milliseconds(launch, before, taken, 1).front();
  int repeats = 1;
  if (!settings_.tiny) {
    const double wanted = 1000 * settings_.case_s / std::max(first_ms, 1e-3);
    repeats = static_cast<int>(std::clamp(wanted, 3.0, double(settings_.most_repeats)));
  }
  const std::vector<double> times = milliseconds(launch, before, taken, repeats);
  const double median = times[times.size() / 2];
  fields["ms"] = median;
  fields["min_ms"] = times.front();
  fields["max_ms"] = times.back();
  fields["repeats"] = repeats;
  if (work.bytes > 0) {
    fields["bytes"] = work.bytes;
    fields["bytes_s"] = work.bytes / (median / 1000);
  }
  if (work.operations > 0) {
    fields["operations"] = work.operations;
    fields["flop_s"] = work.operations / (median / 1000);
  }
  write(fields);
}

void Bench::write(const OrderedJson& fields) const {
  std::puts(fields.dump().c_str());
  std::fflush(stdout);
}

int run_benches(int count,
                char** arguments,
                const std::vector<std::function<void(Bench&)>>& benches) {
  try {
    Bench bench(read_settings(count, arguments));
    for (const auto& one : benches) one(bench);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

}  // namespace dms::bench
