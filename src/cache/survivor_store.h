#pragma once
// The tokens of one head that stay beyond the window, in pages of their own. Two stores: one that
// only appends, in order of position (ordered_store.h), and one whose entries may go at any time
// (slot_store.h). Engine thread only, but for gather().

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "cache/fate_log.h"
#include "cache/page_pool.h"
#include "cache/view.h"

namespace dms::cache {

/// The mask parameters of a layer: semantics.md section 1.
struct Visibility {
  int64_t window = 0;          // W
  int64_t sliding_window = 0;  // the layer's own; 0: none
  // Where positions are shifted, keys beyond the window are read with the far query below far_end
  // and with the near one from near_begin on; others not at all.
  int64_t far_end = 0;
  int64_t near_begin = 0;
  bool positions = false;  // the tile wants to know its tokens' positions
};

/// Tokens below `end` are sealed: among the survivors or gone, as `fates` says.
struct Sealed {
  const FateLog& fates;
  int64_t end = 0;
};

/// Neighbouring queries at first .. first + positions - 1.
struct QueryTile {
  int64_t first = 0;
  int64_t positions = 0;
};

/// A token where it lies.
struct StoredToken {
  kernels::KvPageLayout layout;
  std::span<const std::byte> page;
  int64_t slot = 0;
};

class SurvivorStore {
 public:
  SurvivorStore(const kernels::KvPageLayout& layout, PagePool& pool)
      : layout_(layout), pool_(&pool) {}
  virtual ~SurvivorStore() = default;
  SurvivorStore(const SurvivorStore&) = delete;
  SurvivorStore& operator=(const SurvivorStore&) = delete;

  /// Shares every page with the copy; whoever writes first copies.
  virtual std::unique_ptr<SurvivorStore> fork() const = 0;

  const kernels::KvPageLayout& layout() const { return layout_; }

  /// Takes the token at `position`; positions come in order.
  virtual void append(int64_t position, const StoredToken& token) = 0;
  /// Frees pages that no query at `next_position` or later sees through the sliding window.
  virtual void expire(const Sealed& sealed, int64_t next_position, int64_t sliding_window) = 0;
  /// Forgets the entries of tokens from `position` on.
  virtual void truncate(const Sealed& sealed, int64_t position) = 0;
  virtual void clear() = 0;

  /// Whether entries may go after they were taken: drop_evicted() and visit() then work.
  virtual bool can_drop() const { return false; }
  /// Forgets the entries that `sealed` says are evicted.
  virtual void drop_evicted(const Sealed& sealed);
  virtual void visit(
      const std::function<void(int64_t position, const StoredToken& token)>& visitor) const;

  /// Adds the pages that the tile sees of tokens below `end`, and their masks, to `out`, which has
  /// room for most_masks() pages' masks.
  virtual void gather(const Sealed& sealed,
                      int64_t end,
                      const QueryTile& tile,
                      const Visibility& visibility,
                      TilePages& out) const = 0;
  /// Pages that gather() may give masks.
  virtual int64_t most_masked_pages(const Visibility& visibility) const = 0;

  virtual void write(ByteWriter& out) const = 0;
  /// What write() wrote. Throws InputError where it is not what `sealed` says was kept, RunError at
  /// the memory limit.
  virtual void read(ByteReader& in, const Sealed& sealed) = 0;

  /// Whether a query after `tokens` tokens finds all that its sliding window shows it.
  virtual bool reaches_back_to(const Sealed& sealed,
                               int64_t tokens,
                               int64_t sliding_window) const = 0;
  /// For PagePool::pack().
  std::span<Page> pages() { return pages_; }
  /// Pages that appending `count` entries takes: new ones and a copy of a shared one.
  int64_t page_need(int64_t count) const;
  /// Pages that drop_evicted() may have to copy.
  int64_t shared_pages() const;
  int64_t page_count() const { return std::ssize(pages_); }
  virtual int64_t table_bytes() const;

 protected:
  /// Takes over `from`'s shape, and its pages as shared ones.
  void share_pages(const SurvivorStore& from);
  /// Writes the token behind the last one.
  void append_token(const StoredToken& token);

  kernels::KvPageLayout layout_;
  PagePool* pool_;
  std::vector<Page> pages_;
  int64_t count_ = 0;  // slots used, those of pages freed from the front included
};

}  // namespace dms::cache
