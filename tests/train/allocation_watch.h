#pragma once
// The largest single allocation that LibTorch makes.

#include <atomic>
#include <memory>

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

namespace dms::train::fixture {

/// Watches the calling thread, and threads that work for it, while it lives.
class AllocationWatch {
 public:
  int64_t largest_bytes() const { return reporter_->largest; }

 private:
  struct Reporter final : c10::MemoryReportingInfoBase {
    std::atomic<int64_t> largest = 0;

    void reportMemoryUsage(void*, int64_t bytes, size_t, size_t, c10::Device) override {
      int64_t seen = largest;
      while (bytes > seen && !largest.compare_exchange_weak(seen, bytes)) {
      }
    }
    bool memoryProfilingEnabled() const override { return true; }
  };

  std::shared_ptr<Reporter> reporter_ = std::make_shared<Reporter>();
  c10::DebugInfoGuard guard_{c10::DebugInfoKind::PROFILER_STATE, reporter_};
};

}  // namespace dms::train::fixture
