#pragma once
// A head's digest as it lies in memory: entries in pages of the window's layout with a bias for
// each slot, factors in the window's type. Written anew by each plan, read by the tiles between.
// Engine thread only, but for gather() and load().

#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "cache/digest.h"
#include "cache/page_pool.h"
#include "cache/survivor_store.h"
#include "cache/view.h"

namespace dms::cache {

/// Entries with counts, in pages.
class MergedPages {
 public:
  MergedPages(const kernels::KvPageLayout& layout, PagePool& pool)
      : layout_(layout), pool_(&pool) {}
  MergedPages fork() const;
  PagePool& pool() const { return *pool_; }

  /// Replaces what it holds. Throws RunError at the memory limit.
  void hold(const MergedEntries& entries);
  MergedEntries load() const;
  /// Adds what the tile sees, read far or near.
  void gather(const QueryTile& tile, const Visibility& visibility, bool far, TilePages& out) const;

  void write(ByteWriter& out) const;
  /// What write() wrote. Throws InputError where positions don't rise below `end` or counts are
  /// none, RunError at the memory limit.
  void read(ByteReader& in, int64_t end);

  int64_t count() const { return std::ssize(positions_); }
  int64_t page_count() const { return std::ssize(pages_); }
  /// Pages that are this head's alone.
  int64_t own_pages() const;
  int64_t table_bytes() const;

 private:
  /// Of counts_, for pages_.
  void take_logs();

  kernels::KvPageLayout layout_;
  PagePool* pool_;
  std::vector<Page> pages_;
  std::vector<int32_t> positions_;
  std::vector<int32_t> counts_;
  std::vector<float> log_counts_;  // [pages, 32]
};

/// Numbers of a factor.
class FactorStore {
 public:
  void hold(std::span<const float> values, kernels::PageFormat format);
  void load(std::vector<float>& out) const;
  /// Where they lie, until the next hold() or read().
  kernels::Factor view() const { return {.floats = floats_, .bits = bits_}; }
  void write(ByteWriter& out) const;
  void read(ByteReader& in, int64_t count, kernels::PageFormat format);
  /// Taken from the system.
  int64_t bytes() const {
    return static_cast<int64_t>(bits_.capacity() * sizeof(uint16_t) +
                                floats_.capacity() * sizeof(float));
  }

 private:
  std::vector<uint16_t> bits_;  // bf16
  std::vector<float> floats_;
};

/// A block, its numbers in the window's type.
struct StoredBlock {
  int64_t rank = 0;
  std::vector<int32_t> positions;
  FactorStore key_rows;
  FactorStore key_basis;
  FactorStore value_rows;
  FactorStore value_basis;
  FactorStore shifted_basis;  // of keys

  void hold(const Digest& digest, kernels::PageFormat format);
  void load(LowRankBlock& out) const;
  BlockView view() const;
  void write(ByteWriter& out) const;
  void read(ByteReader& in, int64_t tokens, const kernels::KvPageLayout& layout, bool is_shifted);
  int64_t bytes() const;
};

class DigestStore {
 public:
  DigestStore(const kernels::KvPageLayout& layout, PagePool& pool)
      : layout_(layout), merged_(layout, pool), shifted_(layout, pool) {}
  DigestStore fork() const;

  void hold(const Digest& digest);
  /// What hold() took, rounded; without what stands in for others.
  Digest load() const;
  /// Its memory too.
  void clear() { *this = DigestStore(layout_, merged_.pool()); }

  void gather(const QueryTile& tile, const Visibility& visibility, TilePages& out) const;
  /// Positions below it that are ranked are attended through gather() alone; 0: all as they lie.
  int64_t shifted_end() const { return shifted_end_; }

  void write(ByteWriter& out) const;
  /// What write() wrote of a sequence of `tokens` tokens. Throws as MergedPages::read().
  void read(ByteReader& in, int64_t tokens);

  int64_t page_count() const { return merged_.page_count() + shifted_.page_count(); }
  /// Pages that hold() takes at most for `pages` of entries in all.
  int64_t page_need(int64_t pages) const;
  /// In entries of full size.
  int64_t held_entries() const;
  int64_t table_bytes() const;
  /// What table_bytes() is at most beside a block's, of so many pages of entries.
  static int64_t most_table_bytes(int64_t pages);

 private:
  kernels::KvPageLayout layout_;
  MergedPages merged_;
  MergedPages shifted_;
  StoredBlock block_;
  int64_t shifted_end_ = 0;
  int64_t dropped_ = 0;
};

}  // namespace dms::cache
