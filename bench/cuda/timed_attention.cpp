#include "timed_attention.h"

#include <memory>
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

using Attention = cudaError_t (*)(const cuda::PrefillAttentionParams&, cudaStream_t);

cudaError_t between_events(Attention attention,
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

cudaError_t timed_attention_sm90(const cuda::PrefillAttentionParams& params, cudaStream_t stream) {
  return between_events(cuda::prefill_attention_sm90, params, stream);
}

double take_attention_milliseconds() {
  cuda::check(cudaDeviceSynchronize(), "attention");
  double sum = 0;
  for (const auto& interval : intervals()) {
    sum += interval->end.milliseconds_since(interval->begin);
  }
  intervals().clear();
  return sum;
}

}  // namespace dms::bench
