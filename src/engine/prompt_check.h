#pragma once
// Whether tokens can be appended to a sequence, told before anything is computed.

#include <cstdint>
#include <span>

namespace dms::engine {

/// What a sequence holds already and may hold at most.
struct Room {
  int64_t tokens = 0;
  int64_t max_tokens = 0;
  int64_t vocab = 0;
  int64_t context = 0;  // the model's, where a policy may leave less of it; 0: not known
};

/// Throws InputError on ids outside the vocabulary or more than there is room for.
void check_ids(std::span<const int32_t> ids, const Room& room);
/// The same, and that there is one at least.
void check_prompt(std::span<const int32_t> ids, const Room& room);

}  // namespace dms::engine
