#pragma once
// A sequence of a CudaModel. While it computes it has a slot of a bank, and what its heads hold is
// known on the device alone; parked, its tables are the host's, pages stay where they are. Branches
// share pages by reference until they compute. Engine thread only.

#include <cstdint>
#include <memory>
#include <vector>

#include "cuda/cuda_plan.h"
#include "cuda/kv_store.h"
#include "engine/model.h"

namespace dms::cuda {

/// What `count` more tokens take of a sequence at most.
struct SequenceDemand {
  int64_t window_pages = 0;
  int64_t survivor_pages = 0;  // in the place of shared ones
  int64_t ahead = 0;           // survivors' pages that the device may take
};

/// How tokens are appended: together, as a prompt's chunk, or each by a step that decodes.
enum class Rows { chunk, decoded };
/// One token alone decodes, whatever it is of.
inline Rows rows_of(int64_t count) { return count == 1 ? Rows::decoded : Rows::chunk; }

class CudaSequence final : public engine::SequenceState {
 public:
  CudaSequence(std::shared_ptr<KvStore> store, std::shared_ptr<const CudaPlan> plan);
  CudaSequence& operator=(const CudaSequence&) = delete;
  ~CudaSequence() override;

  int64_t tokens() const override { return tokens_; }
  int64_t held_bytes() const override;
  bool can_truncate(int64_t tokens) const override;
  void truncate(int64_t tokens) override;
  /// Where the device has failed all is decided anew.
  void restart(int64_t tokens) override;
  std::unique_ptr<engine::SequenceState> fork() const override;
  void write(ByteWriter& out) const override;
  /// What write() wrote of a sequence of `tokens` tokens under an equal plan, into an empty one.
  /// Throws InputError where it can't be that, RunError at the memory limit.
  void read(ByteReader& in, int64_t tokens);
  std::vector<uint8_t> decisions() const override;
  std::vector<int32_t> held_heads() const override;

  const CudaPlan& plan() const { return *plan_; }
  SlotBank& bank() const { return *bank_; }
  /// [heads]
  std::vector<int64_t> held_per_head() const;
  /// Of what it has beside pages.
  int64_t table_bytes() const;

  SequenceDemand demand(int64_t count, Rows rows) const;
  /// Takes what demand() says, but for `ahead`. It must fit.
  void grow(int64_t count, Rows rows);

  /// Where it computes; -1: it is parked.
  int32_t slot() const { return slot_; }
  /// Moves into a slot that nobody has. After grow().
  void enter(int32_t slot);
  /// Gives the slot up. Where it throws, nothing has changed.
  void park() const;
  /// Before each step, after grow().
  void prepare_step();
  int32_t sealed_end() const { return sealed_end_; }
  /// After a prompt's chunk of `count` tokens.
  int32_t sealed_end_after(int64_t count) const;
  /// So many tokens were appended. After learn(), which waits for the device.
  void advance(int64_t count, Rows rows);
  /// What the device has counted since.
  void learn(std::span<const int32_t> survivors);

  int64_t last_step = 0;  // that it was in, for who chooses slots

 private:
  /// Pages that others have too, and those that take their places.
  struct Copies {
    std::vector<PageNumber> from{};
    std::vector<PageNumber> to{};
    std::vector<PageNumber> old{};
  };

  /// Of a parked one: its pages are not shared yet.
  CudaSequence(const CudaSequence&) = default;
  int32_t heads() const { return bank_->shape().heads(); }
  /// Before the current one, which must not be sealed where tokens are to follow.
  int64_t exact_tokens() const;
  int64_t decided_end() const;
  int32_t fate_columns() const;
  std::vector<uint32_t> fates(int32_t first, int32_t columns) const;
  std::vector<PageNumber> live_window_pages() const;
  std::vector<PageNumber> live_survivor_pages() const;
  std::vector<PageNumber> window_pages_in_order() const;
  int64_t window_begin_page() const;
  /// The first page of the window that `count` more tokens are written to or leave.
  int64_t first_grown_page(int64_t count, Rows rows) const;
  PageNumber& window_page(int32_t head, int64_t page) const;
  PageNumber* last_partial_page(int32_t head) const;
  void begin_fates();
  bool leave_slot() noexcept;
  bool is_read(int64_t page) const;
  void renew(PageNumber& number, int32_t bytes, bool is_read, Copies& copies);
  void unshare_survivors();
  void drop_survivors_from(int64_t tokens);
  void drop_pages();
  void load_state() const;
  void read_pages(ByteReader& in, const std::vector<int32_t>& survivors);

  std::shared_ptr<KvStore> store_;
  std::shared_ptr<const CudaPlan> plan_;
  std::shared_ptr<SlotBank> bank_;
  mutable HeadTables tables_;
  mutable int32_t slot_ = -1;
  bool is_window_loaded_ = false;  // the slot's table of it is tables_.window
  int64_t tokens_ = 0;
  int32_t sealed_end_ = 0;
  int32_t replay_end_ = 0;  // as SlotView's
};

}  // namespace dms::cuda
