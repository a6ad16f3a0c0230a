#pragma once
// The memory of all caches of a model on the device: one arena of pages, and the banks of slots
// whose tables point into it. Shared by the model and its sequences. Engine thread only.

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "cuda/cuda_plan.h"
#include "cuda/memory.h"
#include "cuda/page_arena.h"
#include "cuda/slot_bank.h"

namespace dms::cuda {

/// Each has tables of all slots for whole contexts, and clients choose windows: a model of 36
/// layers of 8 heads with 64 slots of 128k tokens takes some 600 MB a bank.
inline constexpr int64_t kMostBanks = 4;

struct StoreShape {
  int32_t layers = 0;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  int64_t context = 0;
  int32_t slots = 0;        // of each bank
  int64_t step_tokens = 0;  // rows of a step at most
  int64_t bytes = 0;        // of the arena
};

class KvStore {
 public:
  /// `shape.bytes` of 0: nine tenths of what is free on the device.
  KvStore(const StoreShape& shape, std::shared_ptr<const Stream> stream);
  KvStore(const KvStore&) = delete;

  const Stream& stream() const { return *stream_; }
  /// Where sequences under `plan` have their slots; made when first asked for, in the place of one
  /// that no sequence has where there are as many as there may be. Throws MemoryShortage where all
  /// are taken.
  std::shared_ptr<SlotBank> bank(const CudaPlan& plan);
  int64_t banks() const { return std::ssize(banks_); }

  int64_t limit_bytes() const { return pages_.bytes(); }
  /// Without pages that were given ahead of need and not taken.
  int64_t used_bytes() const;
  int64_t peak_bytes() const { return peak_bytes_; }
  void note_peak() { peak_bytes_ = std::max(peak_bytes_, used_bytes()); }
  /// Where no sequence is left, so is none of the highest use so far.
  void forget_peak() { peak_bytes_ = used_bytes(); }

  /// Whether there are pages for `demand`, and for `ahead` to be given to each bank's device.
  bool fits(const PageDemand& demand, const std::map<SlotBank*, int64_t>& ahead = {});
  /// Whether there are pages for `demand` where those that were given ahead and not taken may be
  /// had back.
  bool has(PageDemand demand) const;
  /// A page that fits() promised.
  PageNumber take(int32_t bytes);
  void share(PageNumber page) { pages_.share(page); }
  void release(PageNumber page) { pages_.release(page); }
  bool is_shared(PageNumber page) { return pages_.is_shared(page); }
  /// So that the device can take `count` pages of `bank` before it gives any more.
  void top_up(SlotBank& bank, int64_t count);

  /// Copies pages of `bytes` bytes, from[i] to to[i].
  void copy(std::span<const PageNumber> from, std::span<const PageNumber> to, int32_t bytes);
  /// The pages' bytes one after another. Waits for the device.
  std::vector<std::byte> download(std::span<const PageNumber> pages, int32_t bytes);
  /// The opposite.
  void upload(std::span<const std::byte> data, std::span<const PageNumber> pages, int32_t bytes);

 private:
  int32_t ring_of(const CudaPlan& plan) const;
  std::shared_ptr<SlotBank> make_bank(KvFormat format, int32_t ring);
  std::shared_ptr<SlotBank> bank_with_room(KvFormat format, int32_t ring) const;
  bool drop_idle_bank();
  void take_back(SlotBank& bank);
  void take_back_all();
  uint32_t* numbers(std::span<const PageNumber> first, std::span<const PageNumber> second);

  StoreShape shape_;
  std::shared_ptr<const Stream> stream_;
  DeviceBuffer arena_;
  PageArena pages_;
  std::map<std::pair<KvFormat, int32_t>, std::shared_ptr<SlotBank>> banks_;  // format, ring
  // Pages that are copied, some at a time: a sequence that is swapped out must find no need of
  // memory.
  DeviceBuffer numbers_;
  DeviceBuffer row_;
  int64_t peak_bytes_ = 0;
};

}  // namespace dms::cuda
