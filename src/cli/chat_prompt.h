#pragma once
// A conversation as the text a model continues: by the model's own template, a given one, or the
// plain form "User: …\nAssistant: …".

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/chat_options.h"
#include "dms/chat.h"

namespace dms::cli {

class ChatPrompt {
 public:
  /// Throws InputError when there is no template, it is malformed, or an argument for it is.
  static ChatPrompt make(const std::filesystem::path& folder, const ChatOptions& options);

  /// The conversation up to where the assistant speaks next. Throws InputError when the template
  /// refuses it.
  std::string render(const std::vector<ChatMessage>& messages) const;
  /// A conversation of one question, after the system message if there is one.
  std::string render(const std::string& system, const std::string& question) const;
  /// Special tokens are in a template's text already; the plain form leaves them to the tokenizer.
  bool adds_special_tokens() const { return !template_.has_value(); }
  /// Where the template comes from, for errors: a file, the model's folder, or "plain".
  const std::string& source() const { return source_; }
  /// Texts that end an answer although the model has not said so.
  std::vector<std::string> stops() const;

 private:
  std::optional<ChatTemplate> template_;  // absent: plain
  std::string arguments_;                 // a JSON object
  std::string source_ = "plain";
};

/// "key=value" texts as the text of a JSON object; a value that is not JSON is a text. Throws
/// InputError on what is no such text.
std::string template_arguments(const std::vector<std::string>& texts);

}  // namespace dms::cli
