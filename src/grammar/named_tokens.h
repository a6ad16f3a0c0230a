#pragma once
// The special tokens that a structural tag names by their ids.

#include <cstdint>
#include <vector>

#include "dms/structure.h"

namespace dms::text {
class Tokenizer;
}

namespace dms::grammar {

/// In rising order; those that are special, of the first `vocab`.
std::vector<int32_t> named_tokens(const Structure& structure,
                                  const text::Tokenizer& tokenizer,
                                  int64_t vocab);

}  // namespace dms::grammar
