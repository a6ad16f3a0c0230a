#include "timed_attention.h"

#include <memory>
#include <numeric>
#include <vector>

#include "timed_event.h"

namespace dms::bench {
namespace {

struct Interval {
  TimedEvent begin;
  TimedEvent end;
};

/// One thread alone computes.
std::vector<std::unique_ptr<Interval>>& intervals() {
  static std::vector<std::unique_ptr<Interval>> all;
  return all;
}

cudaError_t between_events(cuda::AttendPrompt attention,
                           const cuda::PrefillAttentionParams& params,
                           cudaStream_t stream) {
  auto interval = std::make_unique<Interval>();
  interval->begin.record(stream);
  const cudaError_t status = attention(params, stream);
  interval->end.record(stream);
  intervals().push_back(std::move(interval));
  return status;
}

}  // namespace

cudaError_t timed_attention(const cuda::PrefillAttentionParams& params, cudaStream_t stream) {
  return between_events(cuda::prefill_attention, params, stream);
}

cudaError_t timed_attention_hopper(const cuda::PrefillAttentionParams& params,
                                   cudaStream_t stream) {
  return between_events(cuda::prefill_attention_hopper, params, stream);
}

double take_attention_milliseconds() {
  const std::vector<double> each = take_attention_milliseconds(1);
  return std::accumulate(each.begin(), each.end(), 0.0);
}

std::vector<double> take_attention_milliseconds(size_t calls) {
  cuda::check(cudaDeviceSynchronize(), "attention");
  std::vector<double> sums(intervals().size() / calls);
  for (size_t i = 0; i < sums.size() * calls; ++i) {
    const Interval& interval = *intervals()[i];
    sums[i / calls] += interval.end.milliseconds_since(interval.begin);
  }
  intervals().clear();
  return sums;
}

}  // namespace dms::bench
