#include "cli/saved_conversation.h"

#include <limits>
#include <string>

#include <fmt/format.h>

#include "base/input_file.h"
#include "base/output_file.h"
#include "base/output_folder.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFile = "conversation.json";
constexpr const char* kSessionFile = "session.dms";
constexpr const char* kFormat = "dms conversation";
constexpr int64_t kVersion = 1;
constexpr int64_t kMostBytes = int64_t{1} << 30;

std::string where_of(const std::string& file, size_t message) {
  return fmt::format("{}: message {}", file, message);
}

/// From message `beginning` on questions and answers in turn, both texts.
void require_turns(const Json& list, size_t beginning, const std::string& where) {
  std::string expected = "user";
  for (size_t i = beginning; i < list.size(); ++i) {
    const JsonFields fields(list[i], where_of(where, i));
    const std::string role = fields.string("role");
    fields.string("content");
    if (role != expected) {
      throw InputError({.where = fields.where(),
                        .field = "role",
                        .what = "is not whose turn it is",
                        .got = role,
                        .expected = expected});
    }
    expected = role == "user" ? "assistant" : "user";
  }
  if (expected == "user") return;
  throw InputError({.where = where, .what = "the last question has no answer"});
}

/// A system message, where there is one.
int64_t begin_of(const Json& list) {
  const bool has_system = list.is_array() && !list.empty() && list[0].is_object() &&
                          list[0].value("role", Json()) == "system";
  return has_system ? 1 : 0;
}

void write_json(const fs::path& file, const OrderedJson& value) {
  write_text_file(file, value.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n");
}

bool holds_conversation(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_regular_file(folder / kFile, ignored) &&
         fs::is_regular_file(folder / kSessionFile, ignored);
}

}  // namespace

int64_t messages_begin(const std::vector<ChatMessage>& messages) {
  return !messages.empty() && messages.front().role == "system" ? 1 : 0;
}

OrderedJson messages_json(const std::vector<ChatMessage>& messages) {
  return parse_ordered_json(json_of_messages(messages), "messages");
}

fs::path session_file_of(const fs::path& folder) { return folder / kSessionFile; }

void write_conversation(const fs::path& folder,
                        const SavedConversation& conversation,
                        Session& session) {
  const fs::path target = folder.has_filename() ? folder : folder.parent_path();
  std::error_code ignored;
  if (fs::exists(fs::symlink_status(target, ignored)) && !holds_conversation(target)) {
    throw InputError({.where = target.string(),
                      .what = "exists, and is no saved conversation",
                      .expected = "a new name, or one that ends in .json for the messages alone"});
  }
  OutputFolder out(target);
  session.save(session_file_of(out.path()));
  write_json(out.path() / kFile,
             {{"format", kFormat},
              {"version", kVersion},
              {"beginning", conversation.beginning},
              {"retries", conversation.retries},
              {"messages", messages_json(conversation.messages)}});
  out.commit();
}

SavedConversation read_conversation(const fs::path& folder) {
  const fs::path path = folder / kFile;
  const std::string where = path.string();
  const std::string text = read_text_file(path, kMostBytes);
  const Json whole = parse_json(text, where);
  const JsonFields fields(whole, where);
  if (fields.string("format") != kFormat) {
    throw InputError({.where = where, .field = "format", .what = "is no saved conversation"});
  }
  fields.integer("version", kVersion, kVersion);
  const Json* found = fields.find("messages");
  const Json messages = found != nullptr ? *found : Json();
  const OrderedJson ordered = parse_ordered_json(text, where);
  const int64_t beginning =
      fields.integer_or("beginning", begin_of(messages), 0, static_cast<int64_t>(messages.size()));
  SavedConversation saved{
      .messages = messages_of_json(ordered.value("messages", OrderedJson()).dump(), where),
      .beginning = beginning,
      .retries = fields.integer("retries", 0, std::numeric_limits<int32_t>::max())};
  require_turns(messages, static_cast<size_t>(beginning), where);
  return saved;
}

void write_messages(const fs::path& file, const std::vector<ChatMessage>& messages) {
  write_json(file, messages_json(messages));
}

std::vector<ChatMessage> read_messages(const fs::path& file) {
  const std::string text = read_text_file(file, kMostBytes);
  std::vector<ChatMessage> messages = messages_of_json(text, file.string());
  const Json list = parse_json(text, file.string());
  require_turns(list, static_cast<size_t>(begin_of(list)), file.string());
  return messages;
}

}  // namespace dms::cli
