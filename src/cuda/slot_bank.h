#pragma once
// The device's tables for sequences whose survivors have one format and whose windows have one
// ring: slots, and what stands in each. A sequence that computes has a slot; its tables come from
// the host (load()) and go back there (survivor_pages(), fates()) when another one needs it.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cuda/free_list.h"
#include "cuda/memory.h"
#include "cuda/page_arena.h"

namespace dms::cuda {

class CudaSequence;

struct BankShape {
  int32_t layers = 0;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  int32_t ring_pages = 0;  // of a head's window
  int32_t max_pages = 0;   // of a head's survivors
  int32_t slots = 0;
  int32_t free_pages = 0;  // that the device is given ahead of need at most; a power of two
  KvFormat survivor_format = KvFormat::bf16;

  int32_t heads() const { return layers * kv_heads; }  // of a slot
  int32_t fate_words() const { return max_pages; }     // 32 tokens each, as a page
  int32_t window_page_bytes() const { return page_bytes(KvFormat::bf16, head_dim); }
  int32_t survivor_page_bytes() const { return page_bytes(survivor_format, head_dim); }
};

/// One sequence's tables as the host keeps them.
struct HeadTables {
  std::vector<PageNumber> window;  // [heads, ring_pages]; kNoPage: there is none yet
  std::vector<int32_t> survivors;  // [heads] entries
  // While it has no slot:
  std::vector<PageNumber> survivor_pages;  // [heads, survivor_columns]
  int32_t survivor_columns = 0;
  std::vector<uint32_t> fates;  // [heads, fate_columns]
  int32_t fate_columns = 0;
};

/// SlotView of one slot.
struct SlotState {
  int32_t tokens = 0;
  int32_t sealed_end = 0;
  int32_t window = 0;
  int32_t slack = 0;
  int32_t replay_end = 0;
};

class SlotBank : public std::enable_shared_from_this<SlotBank> {
 public:
  SlotBank(const BankShape& shape, std::byte* arena, cudaStream_t stream);
  SlotBank(const SlotBank&) = delete;

  const BankShape& shape() const { return shape_; }
  CacheView cache() const;
  SlotView slots() const;
  FreeList& free_list() { return free_list_; }
  const FreeList& free_list() const { return free_list_; }
  /// Of a slot's tables on the device.
  int64_t table_bytes() const;

  /// Who is in which slot; null: nobody. For those who choose one.
  std::span<CudaSequence*> occupants() { return occupants_; }

  /// All of a slot's tables.
  void load(int32_t slot, const HeadTables& tables);
  void load_window(int32_t slot, const HeadTables& tables);
  /// What the next step finds; copied by flush() where it is another than what the last one left.
  void set(int32_t slot, const SlotState& state);
  void flush();
  /// As set(), of what a step has made on the device itself. Nothing may be under way there: the
  /// step's flush() reads what is changed here.
  void note(int32_t slot, int32_t tokens, int32_t sealed_end);
  /// After a step that failed: what it left there is not known.
  void forget_state() { is_flushed_ = false; }
  void clear_fates(int32_t slot, int32_t first, int32_t end);

  /// The first `columns` of the slot's heads' pages, [heads, columns]. Waits for the device, as
  /// fates().
  std::vector<PageNumber> survivor_pages(int32_t slot, int32_t columns);
  /// Words [first, first + columns) of the slot's heads' fates, [heads, columns].
  std::vector<uint32_t> fates(int32_t slot, int32_t first, int32_t columns);

  /// Has the survivors of the slots below `end` copied; after the stream has come there,
  /// survivors() reads them.
  void ask_survivors(int32_t end);
  std::span<const int32_t> survivors(int32_t slot) const;

 private:
  static constexpr size_t kStateFields = 5;

  int64_t head_of(int32_t slot) const { return int64_t{slot} * shape_.heads(); }
  SlotState state(int32_t slot) const;
  void write_rows(uint32_t* table,
                  int32_t table_columns,
                  std::span<const uint32_t> rows,
                  int32_t columns);
  std::vector<uint32_t> read_rows(const uint32_t* table, int32_t table_columns, int32_t columns);
  void copy_in(void* to, const void* from, size_t bytes, const char* what);

  BankShape shape_;
  std::byte* arena_;
  cudaStream_t stream_;
  FreeList free_list_;
  DeviceBuffer windows_;  // CacheView's tables
  DeviceBuffer survivor_table_;
  DeviceBuffer survivors_;
  DeviceBuffer fates_;
  DeviceBuffer states_;          // SlotView's fields, [slots] each
  PinnedBuffer host_states_;     // likewise
  PinnedBuffer host_survivors_;  // [slots, heads]
  // Of a slot's rows on their way: there from the beginning, because a sequence must find room for
  // its tables on the host when memory is short.
  DeviceBuffer staging_;
  PinnedBuffer host_staging_;
  std::vector<CudaSequence*> occupants_;
  bool is_flushed_ = false;
};

}  // namespace dms::cuda
