#pragma once
// Server-sent events, as APIs stream them.

#include <string>
#include <string_view>

#include "serve/api_error.h"

namespace dms::serve {

/// The event that ends a stream of completions.
inline constexpr std::string_view kSseDone = "data: [DONE]\n\n";

/// One event; JSON on one line holds no newline that would end it early.
inline std::string sse_event(const OutJson& value) { return "data: " + json_text(value) + "\n\n"; }

/// One with a name.
inline std::string sse_event(std::string_view name, const OutJson& value) {
  return "event: " + std::string(name) + "\n" + sse_event(value);
}

}  // namespace dms::serve
