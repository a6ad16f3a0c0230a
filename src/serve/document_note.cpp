#include "serve/document_note.h"

#include <limits>

#include "serve/chat_request.h"

namespace dms::serve {

std::string write_note(const DocumentNote& note) {
  return json_text({{"created", note.created}, {"messages", note.messages}});
}

DocumentNote read_note(std::string_view text) {
  const OrderedJson json = parse_body(text, RequestLimits());
  const Fields fields(json, "note");
  DocumentNote note;
  note.created = fields.integer("created", 0, std::numeric_limits<int64_t>::max()).value_or(0);
  if (const OrderedJson* messages = fields.array("messages")) note.messages = *messages;
  return note;
}

std::vector<ChatMessage> note_messages(const DocumentNote& note) {
  if (note.messages.is_null()) return {};
  const OrderedJson body{{"messages", note.messages}};
  return read_conversation(Fields(body, ""), RequestLimits()).chat.messages;
}

}  // namespace dms::serve
