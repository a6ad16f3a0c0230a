#include "cache/fate_log.h"

#include <bit>

#include "cache/page_bits.h"

namespace dms::cache {

using kernels::kPageTokens;

void FateLog::set(int64_t position, bool evict) {
  const auto word = static_cast<size_t>(position / kPageTokens);
  if (word >= words_.size()) words_.resize(word + 1, 0);
  const uint32_t bit = uint32_t{1} << (position % kPageTokens);
  if (evict) {
    words_[word] |= bit;
  } else {
    words_[word] &= ~bit;
  }
}

uint32_t FateLog::evicted_word(int64_t page) const {
  return page < std::ssize(words_) ? words_[static_cast<size_t>(page)] : 0;
}

bool FateLog::is_evicted(int64_t position) const {
  return (evicted_word(position / kPageTokens) >> (position % kPageTokens) & 1) != 0;
}

int64_t FateLog::kept_between(int64_t begin, int64_t end) const {
  int64_t kept = 0;
  for (int64_t page = begin / kPageTokens; page * kPageTokens < end; ++page) {
    const int64_t base = page * kPageTokens;
    kept += std::popcount(~evicted_word(page) & bits_from(begin - base) & low_bits(end - base));
  }
  return kept;
}

void FateLog::clear_from(int64_t position) {
  const auto words = static_cast<size_t>((position + kPageTokens - 1) / kPageTokens);
  if (words_.size() > words) words_.resize(words);
  if (!words_.empty() && words_.size() == words && position % kPageTokens != 0) {
    words_.back() &= low_bits(position % kPageTokens);
  }
}

FateLog FateLog::read(ByteReader& in, int64_t end) {
  FateLog log;
  log.words_ = in.list<uint32_t>();
  FateLog checked = log;
  checked.clear_from(end);
  in.require(checked.words_ == log.words_, "decisions about tokens that are not there");
  return log;
}

}  // namespace dms::cache
