#include "train/data/conversation.h"

#include "dms/error.h"

namespace dms::train::data {
namespace {

Json first_messages(const Json& messages, size_t count) {
  return Json(messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(count));
}

void check_messages(const Json& messages, const std::string& where) {
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string message = where + ": message " + std::to_string(i);
    const JsonFields fields(messages[i], message);
    fields.string("role");
    if (messages[i].contains("content")) continue;
    throw InputError({.where = message + ": content", .what = "missing"});
  }
}

}  // namespace

ConversationEncoder::ConversationEncoder(const ModelText& model, const Json& kwargs, LossOn loss_on)
    : model_(model), kwargs_(kwargs), loss_on_(loss_on) {
  if (model_.chat) return;
  throw InputError({.where = "model.name",
                    .what = "the model has no chat template",
                    .expected = "one in tokenizer_config.json or chat_template.jinja",
                    .hint = "conversations need it; a dataset of kind text does not"});
}

std::string ConversationEncoder::render(const Json& messages,
                                        bool for_generation,
                                        const std::string& where) const {
  text::ChatRequest request;
  request.messages = messages;
  request.add_generation_prompt = for_generation;
  request.kwargs = kwargs_;
  request.special_tokens = model_.chat->special_tokens;
  try {
    return model_.chat->chat_template.render(request);
  } catch (const InputError& error) {
    throw InputError({.where = where, .what = error.what()});
  }
}

std::vector<ByteSpan> ConversationEncoder::assistant_turns(const Json& messages,
                                                           const std::string& text,
                                                           const std::string& where) const {
  std::vector<ByteSpan> turns;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].at("role") != "assistant") continue;
    const std::string before = render(first_messages(messages, i), true, where);
    const std::string after = render(first_messages(messages, i + 1), false, where);
    if (!text.starts_with(after) || !after.starts_with(before)) {
      throw InputError({.where = where + ": message " + std::to_string(i),
                        .what = "the chat template writes this turn differently once more follows, "
                                "so its tokens cannot be found",
                        .hint = "use loss_on: all, or conversations with one answer"});
    }
    turns.push_back({.begin = before.size(), .end = after.size()});
  }
  return turns;
}

Document ConversationEncoder::encode(const Json& messages, const std::string& where) const {
  check_messages(messages, where);
  const std::string text = render(messages, false, where);
  if (loss_on_ == LossOn::all) return encode_text(model_.tokenizer, text);
  return encode_text(model_.tokenizer, text, assistant_turns(messages, text, where));
}

}  // namespace dms::train::data
