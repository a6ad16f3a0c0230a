#include "dms/document_prompt.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include "base/json.h"
#include "dms/error.h"

namespace dms {
namespace {

std::string_view common(std::string_view a, std::string_view b) {
  return a.substr(0, static_cast<size_t>(std::ranges::mismatch(a, b).in1 - a.begin()));
}

/// Whether the text holds what the messages say.
bool holds(std::string_view text, const std::vector<ChatMessage>& messages) {
  return std::ranges::all_of(messages, [&](const ChatMessage& message) {
    constexpr std::string_view kBlanks = " \t\r\n";
    std::string_view content = message.content;
    content.remove_prefix(std::min(content.find_first_not_of(kBlanks), content.size()));
    content = content.substr(0, content.find_last_not_of(kBlanks) + 1);
    return text.find(content) != std::string_view::npos;
  });
}

}  // namespace

std::string write_note(const DocumentNote& note) {
  OrderedJson json{{"created", note.created}, {"messages", nullptr}};
  if (!note.messages.empty()) {
    json["messages"] = parse_ordered_json(json_of_messages(note.messages), "messages");
  }
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

DocumentNote read_note(std::string_view text, const std::string& where) {
  if (text.empty()) {
    throw InputError({.where = where,
                      .what = "is no document",
                      .hint = "it is what a session or a slot was saved to"});
  }
  const OrderedJson json = parse_ordered_json(text, where);
  const auto messages = json.is_object() ? json.find("messages") : json.end();
  const auto created = json.is_object() ? json.find("created") : json.end();
  const bool is_note = messages != json.end() && created != json.end() &&
                       created->is_number_integer() && created->get<int64_t>() >= 0;
  if (!is_note) throw InputError({.where = where, .what = "its note is no document's"});
  DocumentNote note{.created = created->get<int64_t>()};
  if (!messages->is_null()) note.messages = messages_of_json(messages->dump(), where);
  return note;
}

std::vector<int32_t> common_beginning(const std::vector<ChatMessage>& messages,
                                      const ChatWriter& write) {
  // What begins alike with all of them begins alike with any: letters, digits, blanks, line ends
  // and signs may be joined to what stands before them.
  constexpr std::array kQuestions{"a", "1", " Z", "\n\n", "(d"};
  std::optional<RenderedChat> beginning;
  for (const char* question : kQuestions) {
    std::vector<ChatMessage> talk = messages;
    talk.push_back({.role = "user", .content = question});
    RenderedChat chat = write(talk);
    if (!beginning) {
      beginning = std::move(chat);
      continue;
    }
    beginning->text = common(beginning->text, chat.text);
    const auto end = std::ranges::mismatch(beginning->ids, chat.ids).in1;
    beginning->ids.erase(end, beginning->ids.end());
  }
  if (!beginning->ids.empty() && holds(beginning->text, messages)) return beginning->ids;
  throw InputError(
      {.field = "messages",
       .what = "the chat template does not write them first, whatever comes after them",
       .hint = "a document of this model may be a prompt"});
}

void require_beginning(std::span<const int32_t> document, std::span<const int32_t> prompt) {
  if (prompt.size() > document.size() &&
      std::ranges::equal(document, prompt.first(document.size()))) {
    return;
  }
  throw InputError({.field = "document",
                    .what = "with these messages (they come after the document's, a user's first), "
                            "tools or template arguments the chat template does not begin with the "
                            "document as it was made"});
}

}  // namespace dms
