#pragma once
// Who is evicted, written from semantics.md sections 1 and 3 for the plain model: one question for
// a token's fate, one for what a query sees.

#include <cstdint>
#include <functional>

#include "dms/cache.h"
#include "model/spec/model_spec.h"

namespace dms::testing_support {

/// A token of one head whose fate is asked for.
struct PlainFate {
  int64_t layer = 0;
  int64_t kv_head = 0;
  int64_t token = 0;
  float logit = 0;  // of the decision that settles it; 0 where the model makes none
};

struct PlainPolicy {
  int64_t window = 0;
  int64_t shift = 0;  // token i's fate is settled by the logit of token i + shift
  std::function<bool(const PlainFate&)> evicts{};
  int64_t far_place = -1;  // the last position from which keys beyond the window are read; -1: none
  int64_t max_tokens = 0;

  /// visible(t, i) of a key that is not in the future.
  bool sees(int64_t query, int64_t key, bool is_evicted, int64_t sliding_window) const {
    const int64_t distance = query - key;
    if (sliding_window > 0 && distance >= sliding_window) return false;
    return distance <= window || !is_evicted;
  }
};

/// Throws InputError on a policy, argument or type that the plain model does not know.
PlainPolicy plain_policy(const ModelSpec& spec, const CacheOptions& options);

}  // namespace dms::testing_support
