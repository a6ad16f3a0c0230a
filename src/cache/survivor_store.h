#pragma once
// The tokens of one head that stay beyond the window: append-only pages, in order of position.
// Which positions they are is told by the log of fates: survivors, expired ones included, are the
// kept tokens below the sealed end. Engine thread only, but for gather().

#include <cstdint>
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
  bool far_frame = false;      // keys beyond the window are read with the far query
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

class SurvivorStore {
 public:
  SurvivorStore(const kernels::KvPageLayout& layout, PagePool& pool)
      : layout_(layout), pool_(&pool) {}

  /// Shares every page with the copy; whoever writes first copies.
  SurvivorStore fork() const;

  const kernels::KvPageLayout& layout() const { return layout_; }

  /// Takes token `slot` of a page of the window, which has `window_layout`.
  void append(const kernels::KvPageLayout& window_layout,
              std::span<const std::byte> window_page,
              int64_t slot);
  /// Frees pages that no query at `next_position` or later sees through the sliding window.
  void expire(const Sealed& sealed, int64_t next_position, int64_t sliding_window);
  /// Forgets the entries of tokens from `position` on.
  void truncate(const Sealed& sealed, int64_t position);
  void clear();

  /// Adds the pages that the tile sees of tokens below `end`, and their masks, to `out`, which has
  /// room for them.
  void gather(const Sealed& sealed,
              int64_t end,
              const QueryTile& tile,
              const Visibility& visibility,
              TilePages& out) const;

  void write(ByteWriter& out) const;
  /// What write() wrote. Throws InputError where it is not what `sealed` says was kept, RunError at
  /// the memory limit.
  void read(ByteReader& in, const Sealed& sealed);

  /// Whether a query after `tokens` tokens finds all that its sliding window shows it.
  bool reaches_back_to(const Sealed& sealed, int64_t tokens, int64_t sliding_window) const;
  /// Pages that appending `count` entries takes: new ones and a copy of a shared one.
  int64_t page_need(int64_t count) const;
  int64_t page_count() const { return std::ssize(pages_); }
  int64_t table_bytes() const { return std::ssize(pages_) * static_cast<int64_t>(sizeof(Page)); }

 private:
  int64_t kept_below(const Sealed& sealed, int64_t position) const;

  kernels::KvPageLayout layout_;
  PagePool* pool_;
  std::vector<Page> pages_;
  int64_t count_ = 0;          // entries ever appended and not truncated, expired ones included
  int64_t expired_pages_ = 0;  // freed from the front
};

}  // namespace dms::cache
