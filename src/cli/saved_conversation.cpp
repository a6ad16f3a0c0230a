#include "cli/saved_conversation.h"

#include <limits>
#include <string>

#include <fmt/format.h>

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

std::vector<ChatMessage> messages_of(const Json& list, const std::string& where) {
  if (!list.is_array()) {
    throw InputError(
        {.where = where, .what = "holds no messages", .expected = "a JSON array of messages"});
  }
  std::vector<ChatMessage> messages;
  std::string expected = "user";
  for (size_t i = 0; i < list.size(); ++i) {
    const JsonFields fields(list[i], fmt::format("{}: message {}", where, i));
    ChatMessage message{.role = fields.string("role"), .content = fields.string("content")};
    if (message.role != expected && !(i == 0 && message.role == "system")) {
      throw InputError({.where = fields.where(),
                        .field = "role",
                        .what = "is not whose turn it is",
                        .got = message.role,
                        .expected = expected});
    }
    if (message.role != "system") expected = message.role == "user" ? "assistant" : "user";
    messages.push_back(std::move(message));
  }
  if (expected == "user") return messages;
  throw InputError({.where = where, .what = "the last question has no answer"});
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

OrderedJson messages_json(const std::vector<ChatMessage>& messages) {
  OrderedJson list = OrderedJson::array();
  for (const ChatMessage& message : messages) {
    list.push_back({{"role", message.role}, {"content", message.content}});
  }
  return list;
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
              {"retries", conversation.retries},
              {"messages", messages_json(conversation.messages)}});
  out.commit();
}

SavedConversation read_conversation(const fs::path& folder) {
  const fs::path path = folder / kFile;
  const std::string where = path.string();
  const Json whole = read_json_file(path);
  const JsonFields fields(whole, where);
  if (fields.string("format") != kFormat) {
    throw InputError({.where = where, .field = "format", .what = "is no saved conversation"});
  }
  fields.integer("version", kVersion, kVersion);
  const Json* messages = fields.find("messages");
  return {.messages = messages_of(messages != nullptr ? *messages : Json(), where),
          .retries = fields.integer("retries", 0, std::numeric_limits<int32_t>::max())};
}

void write_messages(const fs::path& file, const std::vector<ChatMessage>& messages) {
  write_json(file, messages_json(messages));
}

std::vector<ChatMessage> read_messages(const fs::path& file) {
  return messages_of(read_json_file(file), file.string());
}

}  // namespace dms::cli
