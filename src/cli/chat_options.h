#pragma once
// Options of commands that render a conversation by a chat template.

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace dms::cli {

struct ChatOptions {
  std::string system = {};
  std::string chat_template = {};               // empty: the model's own; "plain", or a file
  std::vector<std::string> template_args = {};  // "key=value"
};

/// --system --template --template-arg
void add_chat_options(CLI::App& app, ChatOptions& options);
/// Throws InputError where one is given although `needed` is not.
void refuse_chat_options(const ChatOptions& options, const std::string& needed);

}  // namespace dms::cli
