#pragma once
// What a cache holds while a text is scored, as a mean over the scored tokens.

#include <cstdint>
#include <vector>

#include "dms/cache.h"

namespace dms::eval {

class HeldMean {
 public:
  /// `holds_all`: holds_all_between_rankings(). What such a policy evicts at the end of a pass, no
  /// row of that pass has missed.
  explicit HeldMean(bool holds_all) : holds_all_(holds_all) {}

  /// A pass that scored `rows` tokens, with the cache before and after it: what is held grows, or
  /// falls, evenly in between.
  void add(const KvStats& before, const KvStats& after, int64_t rows);
  /// Entries and bytes, rounded; dense ones too.
  KvStats mean() const;
  /// The most allocated at the ends of those passes, before a policy that ranks has evicted.
  int64_t peak_bytes() const { return peak_bytes_; }

 private:
  bool holds_all_;
  int64_t peak_bytes_ = 0;
  double rows_ = 0;
  double dense_tokens_ = 0;  // sums over rows
  double held_tokens_ = 0;
  double dense_bytes_ = 0;
  double allocated_bytes_ = 0;
  std::vector<std::vector<double>> held_per_head_;  // [layers][kv_heads]
};

}  // namespace dms::eval
