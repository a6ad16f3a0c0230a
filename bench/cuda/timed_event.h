#pragma once
// An event with its time, unlike cuda::Event.

#include "cuda/memory.h"

namespace dms::bench {

class TimedEvent {
 public:
  TimedEvent() { cuda::check(cudaEventCreate(&event_), "making an event"); }
  ~TimedEvent() { static_cast<void>(cudaEventDestroy(event_)); }
  TimedEvent(const TimedEvent&) = delete;
  TimedEvent& operator=(const TimedEvent&) = delete;

  void record(cudaStream_t stream) {
    cuda::check(cudaEventRecord(event_, stream), "recording an event");
  }
  double milliseconds_since(const TimedEvent& begin) const {
    float ms = 0;
    cuda::check(cudaEventElapsedTime(&ms, begin.event_, event_), "reading a time");
    return static_cast<double>(ms);
  }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace dms::bench
