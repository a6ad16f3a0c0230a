#pragma once
// The host's end of FreePages: gives pages ahead of need, and learns afterwards how many were
// taken.

#include <cstdint>
#include <span>
#include <vector>

#include "cuda/memory.h"
#include "cuda/page_arena.h"

namespace dms::cuda {

class FreeList {
 public:
  /// Room for `capacity` pages that are given and not yet taken; a power of two.
  FreeList(int32_t capacity, cudaStream_t stream);

  FreePages view() const;
  int64_t capacity() const { return capacity_; }
  /// Given and, as far as is known, not taken.
  int64_t untaken() const { return given_ - taken_; }
  void give(std::span<const PageNumber> pages, cudaStream_t stream);
  /// Takes them all back. Nothing may be under way on the device.
  std::vector<PageNumber> take_back(cudaStream_t stream);

  /// Has what the device took copied; after the stream has come there, learn() reads it. Throws
  /// std::logic_error where a page was wanted and none was there; then, or where a step failed
  /// before, lost() is to be called in learn()'s place: the pages that the device took since.
  void ask(cudaStream_t stream);
  void learn();
  std::vector<PageNumber> lost(cudaStream_t stream);

 private:
  // In words of device_, after [capacity] pages.
  enum Word { kTaken, kGiven, kShortage, kWords };
  struct Answer {
    uint32_t taken;
    uint32_t given;
    int32_t shortage;
  };

  int32_t capacity_;
  DeviceBuffer device_;
  PinnedBuffer pages_;   // [capacity] as in device_, then what was given
  PinnedBuffer answer_;  // Answer
  std::vector<PageNumber> listed(uint32_t begin, uint32_t end) const;

  uint32_t given_ = 0;  // wraps, as the device's do
  uint32_t taken_ = 0;
};

}  // namespace dms::cuda
