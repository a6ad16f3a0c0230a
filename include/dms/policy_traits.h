#pragma once
// What can be said of a policy by its name and arguments, before there is a model or a text: when
// it evicts, and what it reads of an adapter. Of a name that no policy has: nothing evicts, or
// reads.

#include <cstdint>

#include "dms/cache.h"

namespace dms {

/// How a text comes into a cache.
struct AppendedText {
  int64_t prompt = 0;   // tokens at once
  int64_t decoded = 0;  // then so many one by one
  int64_t tokens = 0;   // of the whole text; what is left comes at once as well
};

/// Of how many of the text's tokens the policy takes, at most, when it evicts: a budget of as many
/// keeps them all. All of its tokens where it evicts as they leave its window, or not at all.
int64_t compressed_tokens(const CacheOptions& cache, const AppendedText& text);

/// Whether the policy ranks what it holds when a prompt or an interval ends, and holds everything
/// in between.
bool holds_all_between_rankings(const CacheOptions& cache);

/// What a policy reads of an adapter.
enum class AdapterPart {
  none,
  eviction,  // of one of dms or kvzap: decisions or scores, or the window alone
  queries,   // of one of triattention
};
AdapterPart adapter_part_of(const CacheOptions& cache);

}  // namespace dms
