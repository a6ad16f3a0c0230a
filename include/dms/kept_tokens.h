#pragma once
// Settings of a cache that keep tokens whatever these are: windows, first tokens, budgets. Where
// they come to a whole text, nothing of it ever goes, and somebody who asked for eviction is to
// know. What is not given is not asked: a default may be larger than a text.

#include <cstdint>
#include <string_view>

#include "dms/cache.h"

namespace dms {

/// Throws InputError naming the settings, and both numbers, where what `options` give keeps all of
/// `tokens` tokens under the policy of this name.
void require_eviction(std::string_view policy, const CacheOptions& options, int64_t tokens);

/// What somebody should know who lets a prompt of so many tokens be answered under the policy of
/// this name; empty: nothing.
std::string_view note_on_prompt(std::string_view policy,
                                const CacheOptions& options,
                                int64_t tokens);

}  // namespace dms
