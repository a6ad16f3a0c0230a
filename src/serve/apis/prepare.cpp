#include "serve/apis/prepare.h"

#include <functional>
#include <limits>
#include <utility>

#include "serve/apis/messages_request.h"
#include "serve/apis/messages_writer.h"
#include "serve/apis/responses_request.h"
#include "serve/apis/responses_writer.h"
#include "serve/asked_document.h"

namespace dms::serve {
namespace {

/// What `work` returns; what is wrong with the chat completion is told of the fields it was made
/// of.
template <class Work>
auto in_callers_words(const FieldNames& names, const Work& work) {
  try {
    return work();
  } catch (const ApiError& error) {
    throw names.rename(error);
  } catch (const InputError& error) {
    throw names.rename(ApiError::from(error));
  }
}

/// Their streams tell of usage always.
ChatCompletionRequest read_chat(const ChatBody& chat, const ServedModel& model) {
  ChatCompletionRequest request = read_chat_request(Fields(chat.json, ""), model.facts);
  request.common.include_usage = true;
  return request;
}

std::function<ApiError(const ApiError&)> renaming(const FieldNames& names) {
  return [names](const ApiError& error) { return names.rename(error); };
}

}  // namespace

Prepared prepare_responses(std::string_view body, const ServedModel& model, const Planner& plan) {
  ResponsesRequest request =
      read_responses_request(parse_body(body, model.facts.limits), model.facts.limits);
  return in_callers_words(request.chat.names, [&] {
    ChatCompletionRequest chat = read_chat(request.chat, model);
    request.echo["temperature"] = chat.common.sampling.temperature;
    request.echo["top_p"] = chat.common.sampling.top_p;
    Prepared out = prepare_chat(std::move(chat), model, plan);
    out.writer = std::make_unique<ResponsesWriter>(std::move(request.echo));
    out.in_callers_words = renaming(request.chat.names);
    return out;
  });
}

Prepared prepare_messages(std::string_view body, const ServedModel& model, const Planner& plan) {
  const ChatBody request =
      read_messages_request(parse_body(body, model.facts.limits), model.facts.limits);
  return in_callers_words(request.names, [&] {
    ChatCompletionRequest chat = read_chat(request, model);
    std::vector<std::string> stops = chat.common.sampling.stop;
    Prepared out = prepare_chat(std::move(chat), model, plan);
    out.writer =
        std::make_unique<MessagesWriter>(std::ssize(out.requests.front().prompt), std::move(stops));
    out.in_callers_words = renaming(request.names);
    return out;
  });
}

OutJson count_tokens(std::string_view body, const ServedModel& model, const Documents& documents) {
  constexpr int64_t kAll = std::numeric_limits<int32_t>::max();
  const ChatBody request =
      read_count_request(parse_body(body, model.facts.limits), model.facts.limits);
  return in_callers_words(request.names, [&] {
    ChatCompletionRequest chat = read_chat(request, model);
    const EntryPointer document = asked_document(chat.common.document, documents, true);
    const RenderedChat rendered = render_after(document, std::move(chat.conversation), model, kAll);
    return OutJson{{"input_tokens", rendered.ids.size()}};
  });
}

}  // namespace dms::serve
