#pragma once
// Survivors that know their positions, in any order: an entry that goes is overwritten by the last
// one, for attention does not ask for an order. For policies that evict what they kept before.

#include "cache/survivor_store.h"

namespace dms::cache {

class SlotStore final : public SurvivorStore {
 public:
  using SurvivorStore::SurvivorStore;

  std::unique_ptr<SurvivorStore> fork() const override;
  void append(int64_t position, const StoredToken& token) override;
  void expire(const Sealed& sealed, int64_t next_position, int64_t sliding_window) override;
  void truncate(const Sealed& sealed, int64_t position) override;
  void clear() override;
  bool can_drop() const override { return true; }
  void drop_evicted(const Sealed& sealed) override;
  void visit(const std::function<void(int64_t position, const StoredToken& token)>& visitor)
      const override;
  void gather(const Sealed& sealed,
              int64_t end,
              const QueryTile& tile,
              const Visibility& visibility,
              TilePages& out) const override;
  int64_t most_masked_pages(const Visibility& visibility) const override {
    return (visibility.far_end > 0 ? 2 : 1) * page_count();
  }
  void write(ByteWriter& out) const override;
  void read(ByteReader& in, const Sealed& sealed) override;
  bool reaches_back_to(const Sealed& sealed, int64_t tokens, int64_t sliding_window) const override;
  int64_t table_bytes() const override;

 private:
  template <class Gone>
  void drop_where(Gone is_gone);

  std::vector<int32_t> positions_;  // [count_]
  int64_t expired_below_ = 0;       // entries of earlier tokens may be gone by the sliding window
};

}  // namespace dms::cache
