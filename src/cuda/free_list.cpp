#include "cuda/free_list.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/check.h"

namespace dms::cuda {

FreeList::FreeList(int32_t capacity, cudaStream_t stream)
    : capacity_(capacity),
      device_((static_cast<size_t>(capacity) + kWords) * sizeof(uint32_t),
              "the list of free pages"),
      pages_((static_cast<size_t>(capacity) + 1) * sizeof(uint32_t), "the list of free pages"),
      answer_(sizeof(Answer), "the list of free pages") {
  // The device's counters run over at 2^32, which a power of two divides.
  ensure(std::has_single_bit(static_cast<uint32_t>(capacity)), "a power of two");
  check(cudaMemsetAsync(device_.data(), 0, device_.bytes(), stream),
        "clearing the list of free pages");
}

FreePages FreeList::view() const {
  auto* words = device_.at<uint32_t>() + capacity_;
  return {.pages = device_.at<uint32_t>(),
          .capacity = capacity_,
          .taken = words + kTaken,
          .given = words + kGiven,
          .shortage = reinterpret_cast<int32_t*>(words + kShortage)};
}

void FreeList::give(std::span<const PageNumber> pages, cudaStream_t stream) {
  if (pages.empty()) return;
  ensure(untaken() + std::ssize(pages) <= capacity_, "room in the list of free pages");
  auto* ring = pages_.at<uint32_t>();
  const auto begin = static_cast<size_t>(given_ % static_cast<uint32_t>(capacity_));
  const size_t first = std::min(pages.size(), static_cast<size_t>(capacity_) - begin);
  std::ranges::copy(pages.first(first), ring + begin);
  std::ranges::copy(pages.subspan(first), ring);
  const auto copy = [&](size_t from, size_t count) {
    if (count == 0) return;
    check(cudaMemcpyAsync(device_.at<uint32_t>() + from,
                          ring + from,
                          count * sizeof(uint32_t),
                          cudaMemcpyHostToDevice,
                          stream),
          "giving the device pages");
  };
  copy(begin, first);
  copy(0, pages.size() - first);
  given_ += static_cast<uint32_t>(pages.size());
  ring[capacity_] = given_;
  check(cudaMemcpyAsync(device_.at<uint32_t>() + capacity_ + kGiven,
                        ring + capacity_,
                        sizeof(uint32_t),
                        cudaMemcpyHostToDevice,
                        stream),
        "giving the device pages");
}

std::vector<PageNumber> FreeList::listed(uint32_t begin, uint32_t end) const {
  std::vector<PageNumber> pages;
  const auto* ring = pages_.at<uint32_t>();
  for (uint32_t i = begin; i != end; ++i) {
    pages.push_back(ring[i % static_cast<uint32_t>(capacity_)]);
  }
  return pages;
}

std::vector<PageNumber> FreeList::take_back(cudaStream_t stream) {
  std::vector<PageNumber> pages = listed(taken_, given_);
  given_ = taken_;
  pages_.at<uint32_t>()[capacity_] = given_;
  check(cudaMemcpyAsync(device_.at<uint32_t>() + capacity_ + kGiven,
                        pages_.at<uint32_t>() + capacity_,
                        sizeof(uint32_t),
                        cudaMemcpyHostToDevice,
                        stream),
        "taking pages back from the device");
  return pages;
}

void FreeList::ask(cudaStream_t stream) {
  check(cudaMemcpyAsync(answer_.data(),
                        device_.at<uint32_t>() + capacity_,
                        sizeof(Answer),
                        cudaMemcpyDeviceToHost,
                        stream),
        "asking which pages were taken");
}

void FreeList::learn() {
  const Answer answer = *answer_.at<Answer>();
  ensure(answer.shortage == 0, "pages were given ahead of need");
  taken_ = answer.taken;
}

std::vector<PageNumber> FreeList::lost(cudaStream_t stream) {
  const Answer answer = *answer_.at<Answer>();
  check(cudaMemsetAsync(view().shortage, 0, sizeof(int32_t), stream),
        "asking which pages were taken");
  return listed(std::exchange(taken_, answer.taken), answer.taken);
}

}  // namespace dms::cuda
