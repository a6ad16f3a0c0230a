#pragma once
// Survivors in order of position, append-only. Which positions they are is told by the log of
// fates: survivors, expired ones included, are the kept tokens below the sealed end, so that they
// need no storage. For policies that settle a token's fate before it leaves the window.

#include "cache/survivor_store.h"

namespace dms::cache {

class OrderedStore final : public SurvivorStore {
 public:
  using SurvivorStore::SurvivorStore;

  std::unique_ptr<SurvivorStore> fork() const override;
  void append(int64_t position, const StoredToken& token) override;
  void expire(const Sealed& sealed, int64_t next_position, int64_t sliding_window) override;
  void truncate(const Sealed& sealed, int64_t position) override;
  void clear() override;
  void gather(const Sealed& sealed,
              int64_t end,
              const QueryTile& tile,
              const Visibility& visibility,
              TilePages& out) const override;
  int64_t most_masked_pages(const Visibility& visibility) const override;
  void write(ByteWriter& out) const override;
  void read(ByteReader& in, const Sealed& sealed) override;
  bool reaches_back_to(const Sealed& sealed, int64_t tokens, int64_t sliding_window) const override;

 private:
  int64_t kept_below(const Sealed& sealed, int64_t position) const;
  static std::vector<int32_t> positions_from(const Sealed& sealed, int64_t first, int64_t count);

  int64_t expired_pages_ = 0;  // freed from the front
};

}  // namespace dms::cache
