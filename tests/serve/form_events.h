#pragma once
// What forms of answers are told in tests.

#include <filesystem>
#include <string>

#include "dms/request.h"
#include "serve/answer_form.h"
#include "serve/token_texts.h"

namespace dms::serve::testing_support {

inline TokenTexts texts() {
  return {Tokenizer(std::filesystem::path(DMS_SOURCE_DIR) / "models" / "demo"), false};
}

inline AnswerHead head() { return {.id = "x-1", .created = 7, .model = "demo"}; }

inline TokenEvent token(const std::string& text, int32_t id = 0) {
  TokenEvent event;
  event.id = id;
  event.text = text;
  event.choice.chosen.id = id;
  return event;
}

inline FinishedEvent finished(const std::string& rest, const std::string& whole) {
  FinishedEvent event;
  event.text = rest;
  event.result.text = whole;
  event.result.ids = {1, 2};
  event.result.finish_reason = "stop";
  event.result.prompt_tokens = 3;
  return event;
}

}  // namespace dms::serve::testing_support
