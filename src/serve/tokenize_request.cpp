#include "serve/tokenize_request.h"

#include "serve/completion_request.h"

namespace dms::serve {

TokenizeRequest parse_tokenize_request(std::string_view body, const ModelFacts& model) {
  const OrderedJson json = parse_body(body, model.limits);
  const Fields fields(json, "");
  read_model_name(fields, model);
  TokenizeRequest out;
  const bool is_chat = fields.find("messages") != nullptr;
  if (is_chat) {
    out.input = read_conversation(fields, model.limits);
  } else {
    const auto prompt = fields.text("prompt");
    if (!prompt) fields.refuse("prompt", OrderedJson(), "a string");
    out.input = *prompt;
  }
  out.add_special_tokens = fields.boolean("add_special_tokens").value_or(!is_chat);
  if (const OrderedJson* ours = fields.object("dms")) {
    out.document = Fields(*ours, "dms").text("document").value_or("");
  }
  out.return_token_strs = fields.boolean("return_token_strs").value_or(false);
  return out;
}

std::vector<int32_t> parse_detokenize_request(std::string_view body, const ModelFacts& model) {
  const OrderedJson json = parse_body(body, model.limits);
  const Fields fields(json, "");
  read_model_name(fields, model);
  const OrderedJson* tokens = fields.array("tokens");
  if (tokens == nullptr) fields.refuse("tokens", OrderedJson(), "an array of token ids");
  return read_ids(*tokens, model.vocab, "tokens");
}

}  // namespace dms::serve
