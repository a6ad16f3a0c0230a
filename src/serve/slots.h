#pragma once
// Slots as llama.cpp's users know them: what a request with id_slot has computed stays in the slot
// of that number, and the next one that begins alike goes on from there. The I/O thread's.

#include <cstdint>
#include <optional>
#include <vector>

#include "dms/llm.h"
#include "serve/settings.h"

namespace dms::serve {

/// What they hold, and what became of it since the server's start.
struct SlotStats {
  int64_t filled = 0;
  int64_t held_bytes = 0;  // of their pages
  int64_t requests = 0;    // that named a slot
  int64_t hits = 0;        // of them, those that went on from what was there
  int64_t saves = 0;
  int64_t restores = 0;
};

class Slots {
 public:
  explicit Slots(const SlotSettings& settings)
      : settings_(settings), slots_(static_cast<size_t>(settings.count)) {}

  int64_t count() const { return std::ssize(slots_); }
  /// Nothing where it is empty. `slot` is one of them, here and below.
  const std::optional<Document>& at(int64_t slot) const;
  /// What `request` may go on from, if its cache is kept as the slot's.
  std::optional<Document> beginning_of(int64_t slot, const CacheOptions& cache);
  /// In place of what it held. Those used longest ago become empty where room is short, this one
  /// where there is none for it. False: it is empty now.
  bool keep(int64_t slot, Document document);
  void erase(int64_t slot);
  /// Empties the one used longest ago. False: all are empty.
  bool drop_oldest();

  /// A request has named one, and `goes_on` from what it holds.
  void count_request(bool goes_on);
  void count_save() { ++stats_.saves; }
  void count_restore() { ++stats_.restores; }
  SlotStats stats() const;

 private:
  struct Slot {
    std::optional<Document> document{};
    int64_t last_use = 0;
  };

  Slot& slot_at(int64_t slot) { return slots_[static_cast<size_t>(slot)]; }
  int64_t held_bytes() const;
  Slot& oldest();

  const SlotSettings& settings_;
  std::vector<Slot> slots_;
  int64_t uses_ = 0;
  SlotStats stats_{};  // but for what they hold
};

}  // namespace dms::serve
