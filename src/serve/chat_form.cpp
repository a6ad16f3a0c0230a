#include "serve/chat_form.h"

#include <algorithm>
#include <utility>

#include "serve/stop_text.h"

namespace dms::serve {
namespace {

/// What goes on with an open call has no id.
bool begins_call(const OutJson& delta) { return delta["tool_calls"][0].contains("id"); }

}  // namespace

ChatForm::ChatForm(AnswerHead head, TokenTexts texts, int64_t choices, ChatFormOptions options)
    : head_(std::move(head)), texts_(std::move(texts)), options_(std::move(options)) {
  for (int64_t i = 0; i < choices; ++i) {
    choices_.push_back({.splitter = ReasoningSplitter(options_.begins_inside_reasoning)});
    if (options_.tools) choices_.back().tools.emplace(*options_.tools);
  }
  add_tag(ReasoningSplitter::kOpen);
  add_tag(ReasoningSplitter::kClose);
  if (!options_.tools) return;
  for (const ToolForm* form : read_forms(*options_.tools->form)) {
    add_tag(form->open);
    add_tag(form->close);
    for (const std::string_view word : form->words) add_tag(word);
  }
}

void ChatForm::add_tag(std::string_view spelling) {
  if (const auto id = special_id(texts_.tokenizer(), spelling)) tags_.emplace_back(*id, spelling);
}

/// A token that is left out has no text of its own: what comes with it was held back before it.
std::string ChatForm::text_with_tags(const TokenEvent& event) const {
  const auto tag = std::ranges::find(tags_, event.id, &std::pair<int32_t, std::string>::first);
  return tag == tags_.end() ? event.text : event.text + tag->second;
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

/// What is new in a choice, as OpenAI streams it: text, and each call's beginning, name and pieces
/// of arguments, by themselves.
std::vector<OutJson> ChatForm::deltas_of(Choice& choice,
                                         ReasoningSplitter::Parts parts,
                                         bool is_end) const {
  std::vector<OutJson> deltas;
  if (choice.tools) {
    ToolCalls::News news = choice.tools->push(parts.content, is_end);
    parts.content = std::move(news.content);
    deltas = std::move(news.deltas);
  }
  choice.reasoning += parts.reasoning;
  choice.content += parts.content;
  OutJson delta = OutJson::object();
  if (!parts.reasoning.empty() && options_.include_reasoning) {
    delta["reasoning_content"] = std::move(parts.reasoning);
  }
  if (!parts.content.empty()) delta["content"] = std::move(parts.content);
  // A call that is open ends before text comes.
  if (!delta.empty()) {
    deltas.insert(std::ranges::find_if(deltas, begins_call), std::move(delta));
  }
  return deltas;
}

std::vector<OutJson> ChatForm::token(int64_t choice, const TokenEvent& event) {
  Choice& state = choices_[static_cast<size_t>(choice)];
  if (options_.log_probabilities) state.unsent.push_back(event.choice);
  const bool was_thinking = state.splitter.is_thinking();
  std::vector<OutJson> deltas = deltas_of(state, state.splitter.push(text_with_tags(event)), false);
  if (was_thinking || state.splitter.is_thinking()) ++state.reasoning_tokens;
  std::vector<OutJson> chunks;
  for (OutJson& delta : deltas) {
    chunks.push_back(chunk(choice, std::move(delta), ""));
  }
  return chunks;
}

std::vector<OutJson> ChatForm::finish(int64_t choice, const FinishedEvent& event) {
  Choice& state = choices_[static_cast<size_t>(choice)];
  ReasoningSplitter::Parts parts = state.splitter.push(event.text);
  const ReasoningSplitter::Parts rest = state.splitter.finish();
  parts.reasoning += rest.reasoning;
  parts.content += rest.content;
  std::vector<OutJson> deltas = deltas_of(state, std::move(parts), true);
  // The reason goes with the last of the text, and by itself behind calls.
  const bool is_apart = deltas.empty() || deltas.back().contains("tool_calls");
  if (is_apart) deltas.push_back(OutJson::object());
  std::vector<OutJson> chunks;
  for (size_t i = 0; i < deltas.size(); ++i) {
    const bool is_last = i + 1 == deltas.size();
    chunks.push_back(chunk(
        choice, std::move(deltas[i]), is_last ? reason_of(state, event.result) : std::string()));
  }
  add_stop_reason(event.result, chunks.back()["choices"][0]);
  return chunks;
}

/// vLLM's field: the stop text that ended the answer.
void ChatForm::add_stop_reason(const Generation& answer, OutJson& choice) const {
  const auto stop = stop_text_of(answer, options_.stops, options_.end_ids, texts_.tokenizer());
  if (stop) choice["stop_reason"] = *stop;
}

OutJson ChatForm::memory(int64_t choice, OutJson report) {
  OutJson out = chunk(choice, OutJson::object(), "");
  out["choices"][0]["dms"] = std::move(report);
  return out;
}

OutJson ChatForm::usage_chunk(const Usage& usage) const {
  OutJson out = head_json(head_, "chat.completion.chunk");
  out["choices"] = OutJson::array();
  out["usage"] = usage_json_of(usage);
  return out;
}

OutJson ChatForm::usage_json_of(const Usage& usage) const {
  OutJson out = usage_json(usage);
  int64_t tokens = 0;
  for (const Choice& choice : choices_) tokens += choice.reasoning_tokens;
  out["completion_tokens_details"]["reasoning_tokens"] = tokens;
  return out;
}

OutJson ChatForm::message_json(const Choice& choice) const {
  OutJson message{{"role", "assistant"}, {"content", choice.content}};
  if (!choice.reasoning.empty() && options_.include_reasoning) {
    message["reasoning_content"] = choice.reasoning;
  }
  if (!choice.tools || choice.tools->empty()) return message;
  if (choice.content.empty()) message["content"] = nullptr;
  message["tool_calls"] = choice.tools->json();
  return message;
}

/// An answer that ends by itself and has called ends for its calls, unless it ends within one.
std::string ChatForm::reason_of(const Choice& choice, const Generation& answer) {
  const bool has_called = choice.tools && !choice.tools->empty() && !choice.tools->is_open();
  const bool is_whole = answer.finish_reason == "stop";
  return has_called && is_whole ? "tool_calls" : api_finish_reason(answer.finish_reason);
}

OutJson ChatForm::choice_json(int64_t index, const Generation& answer) const {
  const Choice& choice = choices_[static_cast<size_t>(index)];
  OutJson out{{"index", index}, {"message", message_json(choice)}, {"logprobs", nullptr}};
  if (options_.log_probabilities) out["logprobs"] = texts_.chat_logprobs(answer.choices);
  out["finish_reason"] = reason_of(choice, answer);
  add_stop_reason(answer, out);
  return out;
}

OutJson ChatForm::whole(std::span<const Generation> answers, const Usage& usage) const {
  OutJson out = head_json(head_, "chat.completion");
  out["choices"] = OutJson::array();
  for (size_t i = 0; i < answers.size(); ++i) {
    out["choices"].push_back(choice_json(static_cast<int64_t>(i), answers[i]));
  }
  out["usage"] = usage_json_of(usage);
  if (options_.prompt_log_probabilities) {
    out["prompt_logprobs"] = texts_.prompt_logprobs(answers.front().prompt_choices);
  }
  return out;
}

}  // namespace dms::serve
