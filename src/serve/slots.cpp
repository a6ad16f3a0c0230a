#include "serve/slots.h"

#include <algorithm>
#include <utility>

namespace dms::serve {

const std::optional<Document>& Slots::at(int64_t slot) const {
  return slots_[static_cast<size_t>(slot)].document;
}

std::optional<Document> Slots::beginning_of(int64_t slot, const CacheOptions& cache) {
  Slot& found = slot_at(slot);
  CacheOptions options = cache;
  options.preallocate_tokens = 0;
  if (!found.document || found.document->cache() != options) return std::nullopt;
  found.last_use = ++uses_;
  return found.document;
}

int64_t Slots::held_bytes() const {
  int64_t bytes = 0;
  for (const Slot& slot : slots_) bytes += slot.document ? slot.document->held_bytes() : 0;
  return bytes;
}

/// Of those that are not empty; there must be one.
Slots::Slot& Slots::oldest() {
  return *std::ranges::min_element(slots_, {}, [](const Slot& slot) {
    return std::pair(!slot.document.has_value(), slot.last_use);
  });
}

bool Slots::keep(int64_t slot, Document document) {
  erase(slot);
  const int64_t bytes = document.held_bytes();
  if (bytes > settings_.memory_bytes) return false;
  while (held_bytes() + bytes > settings_.memory_bytes) oldest().document.reset();
  slot_at(slot) = {.document = std::move(document), .last_use = ++uses_};
  return true;
}

bool Slots::drop_oldest() {
  if (held_bytes() == 0) return false;
  oldest().document.reset();
  return true;
}

void Slots::count_request(bool goes_on) {
  ++stats_.requests;
  if (goes_on) ++stats_.hits;
}

SlotStats Slots::stats() const {
  SlotStats stats = stats_;
  stats.filled =
      std::ranges::count_if(slots_, [](const Slot& slot) { return slot.document.has_value(); });
  stats.held_bytes = held_bytes();
  return stats;
}

void Slots::erase(int64_t slot) { slot_at(slot).document.reset(); }

}  // namespace dms::serve
