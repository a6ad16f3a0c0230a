#include "text/word_cache.h"

#include <cstring>

namespace dms::text {

uint64_t WordCache::hash(std::string_view word) {
  constexpr uint64_t kMix = 0x9E3779B97F4A7C15u;
  uint64_t state = word.size() * kMix;
  const auto mix = [&](uint64_t bits) {
    state = (state ^ bits) * kMix;
    state ^= state >> 32;
  };
  size_t at = 0;
  for (uint64_t bits = 0; at + sizeof bits <= word.size(); at += sizeof bits) {
    std::memcpy(&bits, word.data() + at, sizeof bits);
    mix(bits);
  }
  uint64_t tail = 0;
  for (; at < word.size(); ++at) tail = tail << 8 | static_cast<uint8_t>(word[at]);
  mix(tail);
  return state;
}

std::span<const int32_t> WordCache::find(std::string_view word, uint64_t hash) const {
  if (slots_.empty()) return {};
  const Slot& slot = slots_[hash % kSlots];
  if (slot.hash != hash || slot.word_bytes != word.size()) return {};
  if (std::memcmp(words_.data() + slot.word_at, word.data(), word.size()) != 0) return {};
  return {ids_.data() + slot.ids_at, slot.ids};
}

void WordCache::insert(std::string_view word, uint64_t hash, std::span<const int32_t> ids) {
  if (word.empty() || word.size() > kMaxWordBytes || ids.size() > UINT16_MAX) return;
  const size_t held = words_.size() + ids_.size() * sizeof(int32_t);
  if (slots_.empty() || held > kArenaBytes) clear();
  slots_[hash % kSlots] = {hash,
                           static_cast<uint32_t>(words_.size()),
                           static_cast<uint32_t>(ids_.size()),
                           static_cast<uint16_t>(word.size()),
                           static_cast<uint16_t>(ids.size())};
  words_.insert(words_.end(), word.begin(), word.end());
  ids_.insert(ids_.end(), ids.begin(), ids.end());
}

void WordCache::clear() {
  slots_.assign(kSlots, Slot{});
  words_.clear();
  ids_.clear();
}

}  // namespace dms::text
