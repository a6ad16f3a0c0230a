#pragma once
// Which stop text ended an answer. The engine tells that one did; its tokens tell which.

#include <optional>
#include <span>
#include <string>

#include "dms/request.h"
#include "dms/tokenizer.h"

namespace dms::serve {

/// Nothing where none did.
std::optional<std::string> stop_text_of(const Generation& answer,
                                        std::span<const std::string> stops,
                                        const Tokenizer& tokenizer);

}  // namespace dms::serve
