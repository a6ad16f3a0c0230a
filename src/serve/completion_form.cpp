#include "serve/completion_form.h"

#include <utility>

namespace dms::serve {
namespace {

constexpr const char* kObject = "text_completion";

}  // namespace

CompletionForm::CompletionForm(AnswerHead head,
                               TokenTexts texts,
                               int64_t choices,
                               CompletionFormOptions options)
    : head_(std::move(head)),
      texts_(std::move(texts)),
      options_(std::move(options)),
      unsent_(static_cast<size_t>(choices)) {}

const EchoedPrompt* CompletionForm::echo_of(int64_t choice) const {
  if (options_.echoed.empty()) return nullptr;
  return &options_.echoed[static_cast<size_t>(choice / options_.answers)];
}

OutJson CompletionForm::chunk(int64_t choice, std::string text, const std::string& finish_reason) {
  std::vector<TokenChoice>& unsent = unsent_[static_cast<size_t>(choice)];
  OutJson out = head_json(head_, kObject);
  OutJson entry{{"index", choice}, {"text", std::move(text)}, {"logprobs", nullptr}};
  if (options_.log_probabilities && !unsent.empty()) {
    entry["logprobs"] = texts_.completion_logprobs(nullptr, {}, std::exchange(unsent, {}));
  }
  entry["finish_reason"] = finish_reason.empty() ? OutJson() : OutJson(finish_reason);
  out["choices"] = OutJson::array({std::move(entry)});
  if (head_.usage_in_chunks) out["usage"] = nullptr;
  return out;
}

std::optional<OutJson> CompletionForm::begin(int64_t choice) {
  const EchoedPrompt* echo = echo_of(choice);
  if (echo == nullptr) return std::nullopt;
  return chunk(choice, echo->text, "");
}

std::vector<OutJson> CompletionForm::token(int64_t choice, const TokenEvent& event) {
  if (options_.log_probabilities) {
    unsent_[static_cast<size_t>(choice)].push_back(event.choice);
  }
  if (event.text.empty()) return {};
  return std::vector{chunk(choice, event.text, "")};
}

std::vector<OutJson> CompletionForm::finish(int64_t choice, const FinishedEvent& event) {
  return std::vector{chunk(choice, event.text, api_finish_reason(event.result.finish_reason))};
}

OutJson CompletionForm::memory(int64_t choice, OutJson report) {
  OutJson out = chunk(choice, "", "");
  out["choices"][0]["dms"] = std::move(report);
  return out;
}

OutJson CompletionForm::usage_chunk(const Usage& usage) const {
  OutJson out = head_json(head_, kObject);
  out["choices"] = OutJson::array();
  out["usage"] = usage_json(usage);
  return out;
}

OutJson CompletionForm::choice_json(int64_t index, const Generation& answer) const {
  const EchoedPrompt* echo = echo_of(index);
  OutJson out{{"index", index},
              {"text", (echo != nullptr ? echo->text : std::string()) + answer.text},
              {"logprobs", nullptr}};
  if (options_.log_probabilities) {
    out["logprobs"] = echo != nullptr ? texts_.completion_logprobs(
                                            &echo->first_id, answer.prompt_choices, answer.choices)
                                      : texts_.completion_logprobs(nullptr, {}, answer.choices);
  }
  out["finish_reason"] = api_finish_reason(answer.finish_reason);
  if (options_.prompt_log_probabilities) {
    out["prompt_logprobs"] = texts_.prompt_logprobs(answer.prompt_choices);
  }
  return out;
}

OutJson CompletionForm::whole(std::span<const Generation> answers, const Usage& usage) const {
  OutJson out = head_json(head_, kObject);
  out["choices"] = OutJson::array();
  for (size_t i = 0; i < answers.size(); ++i) {
    out["choices"].push_back(choice_json(static_cast<int64_t>(i), answers[i]));
  }
  out["usage"] = usage_json(usage);
  return out;
}

}  // namespace dms::serve
