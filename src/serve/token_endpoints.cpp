#include "serve/token_endpoints.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <vector>

#include "base/utf8.h"
#include "serve/asked_document.h"
#include "serve/tokenize_request.h"

namespace dms::serve {
namespace {

constexpr int64_t kAll = std::numeric_limits<int32_t>::max();

std::vector<int32_t> ids_of(const TokenizeRequest& request,
                            const ServedModel& model,
                            const Documents& documents) {
  const auto* text = std::get_if<std::string>(&request.input);
  const EntryPointer document = asked_document(request.document, documents, text == nullptr);
  if (text != nullptr && document) {
    std::vector<int32_t> ids = document->ids;
    std::ranges::copy(model.tokenizer.encode(*text, false), std::back_inserter(ids));
    return ids;
  }
  if (text != nullptr) return model.tokenizer.encode(*text, request.add_special_tokens);
  const auto& conversation = std::get<Conversation>(request.input);
  if (document) return render_after(document, conversation, model, kAll).ids;
  ChatFormat format = model.chat;
  format.adds_special_tokens = format.adds_special_tokens || request.add_special_tokens;
  return render(conversation, format, model.tokenizer, kAll).ids;
}

}  // namespace

OutJson tokenize(std::string_view body, const ServedModel& model, const Documents& documents) {
  const TokenizeRequest request = parse_tokenize_request(body, model.facts);
  const std::vector<int32_t> ids = ids_of(request, model, documents);
  OutJson out{{"count", ids.size()},
              {"max_model_len", model.facts.context},
              {"tokens", ids},
              {"token_strs", nullptr}};
  if (!request.return_token_strs) return out;
  out["token_strs"] = OutJson::array();
  for (const int32_t id : ids) {
    const auto info = model.tokenizer.token(id);
    out["token_strs"].push_back(info ? OutJson(to_well_formed(info->text)) : OutJson());
  }
  return out;
}

OutJson detokenize(std::string_view body, const ServedModel& model, const Documents&) {
  return {{"prompt", model.tokenizer.decode(parse_detokenize_request(body, model.facts), false)}};
}

}  // namespace dms::serve
