#include "serve/chat_form.h"

#include <utility>

namespace dms::serve {
namespace {

std::optional<int32_t> special_id(const Tokenizer& tokenizer, std::string_view spelling) {
  const auto id = tokenizer.id_of(spelling);
  if (!id) return std::nullopt;
  const auto info = tokenizer.token(*id);
  return info && info->is_special ? id : std::nullopt;
}

}  // namespace

ChatForm::ChatForm(AnswerHead head,
                   TokenTexts texts,
                   int64_t choices,
                   const ChatFormOptions& options)
    : head_(std::move(head)),
      texts_(std::move(texts)),
      options_(options),
      choices_(static_cast<size_t>(choices),
               Choice{.splitter = ReasoningSplitter(options.begins_inside_reasoning)}),
      open_id_(special_id(texts_.tokenizer(), ReasoningSplitter::kOpen)),
      close_id_(special_id(texts_.tokenizer(), ReasoningSplitter::kClose)) {}

std::string ChatForm::text_with_tags(const TokenEvent& event) const {
  if (event.id == open_id_) return std::string(ReasoningSplitter::kOpen) + event.text;
  if (event.id == close_id_) return std::string(ReasoningSplitter::kClose) + event.text;
  return event.text;
}

OutJson ChatForm::chunk(int64_t choice, OutJson delta, const std::string& finish_reason) {
  std::vector<TokenChoice>& unsent = choices_[static_cast<size_t>(choice)].unsent;
  OutJson out = head_json(head_, "chat.completion.chunk");
  OutJson entry{{"index", choice}, {"delta", std::move(delta)}, {"logprobs", nullptr}};
  if (options_.log_probabilities && !unsent.empty()) {
    entry["logprobs"] = texts_.chat_logprobs(std::exchange(unsent, {}));
  }
  entry["finish_reason"] = finish_reason.empty() ? OutJson() : OutJson(finish_reason);
  out["choices"] = OutJson::array({std::move(entry)});
  if (head_.usage_in_chunks) out["usage"] = nullptr;
  return out;
}

std::optional<OutJson> ChatForm::begin(int64_t choice) {
  return chunk(choice, {{"role", "assistant"}, {"content", ""}}, "");
}

OutJson ChatForm::delta_of(Choice& choice, ReasoningSplitter::Parts parts) const {
  choice.reasoning += parts.reasoning;
  choice.content += parts.content;
  OutJson delta = OutJson::object();
  if (!parts.reasoning.empty() && options_.include_reasoning) {
    delta["reasoning_content"] = std::move(parts.reasoning);
  }
  if (!parts.content.empty()) delta["content"] = std::move(parts.content);
  return delta;
}

std::optional<OutJson> ChatForm::token(int64_t choice, const TokenEvent& event) {
  Choice& state = choices_[static_cast<size_t>(choice)];
  if (options_.log_probabilities) state.unsent.push_back(event.choice);
  OutJson delta = delta_of(state, state.splitter.push(text_with_tags(event)));
  if (delta.empty()) return std::nullopt;
  return chunk(choice, std::move(delta), "");
}

OutJson ChatForm::finish(int64_t choice, const FinishedEvent& event) {
  Choice& state = choices_[static_cast<size_t>(choice)];
  ReasoningSplitter::Parts parts = state.splitter.push(event.text);
  const ReasoningSplitter::Parts rest = state.splitter.finish();
  parts.reasoning += rest.reasoning;
  parts.content += rest.content;
  OutJson delta = delta_of(state, std::move(parts));
  return chunk(choice, std::move(delta), api_finish_reason(event.result.finish_reason));
}

OutJson ChatForm::memory(int64_t choice, OutJson report) {
  OutJson out = chunk(choice, OutJson::object(), "");
  out["choices"][0]["dms"] = std::move(report);
  return out;
}

OutJson ChatForm::usage_chunk(const Usage& usage) const {
  OutJson out = head_json(head_, "chat.completion.chunk");
  out["choices"] = OutJson::array();
  out["usage"] = usage_json(usage);
  return out;
}

OutJson ChatForm::choice_json(int64_t index, const Generation& answer) const {
  const Choice& choice = choices_[static_cast<size_t>(index)];
  OutJson message{{"role", "assistant"}, {"content", choice.content}};
  if (!choice.reasoning.empty() && options_.include_reasoning) {
    message["reasoning_content"] = choice.reasoning;
  }
  OutJson out{{"index", index}, {"message", std::move(message)}, {"logprobs", nullptr}};
  if (options_.log_probabilities) out["logprobs"] = texts_.chat_logprobs(answer.choices);
  out["finish_reason"] = api_finish_reason(answer.finish_reason);
  return out;
}

OutJson ChatForm::whole(std::span<const Generation> answers, const Usage& usage) const {
  OutJson out = head_json(head_, "chat.completion");
  out["choices"] = OutJson::array();
  for (size_t i = 0; i < answers.size(); ++i) {
    out["choices"].push_back(choice_json(static_cast<int64_t>(i), answers[i]));
  }
  out["usage"] = usage_json(usage);
  if (options_.prompt_log_probabilities) {
    out["prompt_logprobs"] = texts_.prompt_logprobs(answers.front().prompt_choices);
  }
  return out;
}

}  // namespace dms::serve
