#pragma once
// The message of Anthropic's Messages API, and the events of its stream.

#include <cstdint>
#include <string>
#include <vector>

#include "serve/apis/translated_answer.h"

namespace dms::serve {

class MessagesWriter final : public TranslatedAnswer {
 public:
  /// The prompt's tokens, which a stream tells of before it begins, and the request's own stop
  /// texts: a template's are no more than the end of the turn.
  MessagesWriter(int64_t prompt_tokens, std::vector<std::string> stops)
      : prompt_tokens_(prompt_tokens), stops_(std::move(stops)) {}

 private:
  void begin(const OutJson& chunk) override;
  void open(const AnswerPart& part) override;
  void grow(const AnswerPart& part, const std::string& piece) override;
  void close(const AnswerPart& part) override;
  void end(const AnswerEnd& end) override;
  void fail(const ApiError& error) override;
  OutJson answer() const override { return message_; }

  void set_stop_reason(const AnswerEnd& end);

  int64_t prompt_tokens_;
  std::vector<std::string> stops_;
  OutJson message_;
};

}  // namespace dms::serve
