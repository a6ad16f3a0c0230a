#pragma once
// Which stop text ended an answer. The engine tells that one did; its tokens tell which.

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "dms/request.h"
#include "dms/tokenizer.h"

namespace dms::serve {

/// Nothing where none did: one of `end_ids` at the end has ended it, whatever it is spelt like.
std::optional<std::string> stop_text_of(const Generation& answer,
                                        std::span<const std::string> stops,
                                        std::span<const int32_t> end_ids,
                                        const Tokenizer& tokenizer);

}  // namespace dms::serve
