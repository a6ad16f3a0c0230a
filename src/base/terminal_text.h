#pragma once
// Text of strangers (models, files) for a terminal, which would obey the escape sequences in it.

#include <string>
#include <string_view>

namespace dms {

/// `text` with its control characters (C0 but newline and tab, DEL, C1 in UTF-8) written as JSON
/// writes them: "\u001b". What is JSON stays the same JSON.
std::string escape_controls(std::string_view text);

/// What to write to a file descriptor: that where it is a terminal, else the bytes as they are.
std::string text_for(int fd, std::string_view text);

}  // namespace dms
