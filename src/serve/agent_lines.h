#pragma once
// Lines of agents' system prompts that are others with each request, or each day: a fingerprint of
// the request, today's date. They stand before what stays the same, so that nothing behind them is
// found in the prefix cache. docs/serving.md lists them.

#include <string>
#include <string_view>

#include "dms/chat.h"

namespace dms::serve {

/// The text without such lines.
std::string without_agent_lines(std::string_view text);

/// Takes them out of system and developer messages; what held nothing else is no message.
void strip_agent_lines(ChatRequest& chat);

}  // namespace dms::serve
