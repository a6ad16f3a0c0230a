#pragma once
// The response object of OpenAI's Responses API, and the events of its stream.

#include <cstdint>
#include <string>

#include "serve/apis/translated_answer.h"

namespace dms::serve {

class ResponsesWriter final : public TranslatedAnswer {
 public:
  /// `echo`: what the answer repeats of its request. Of a stream's events only the last one has
  /// what is long: the others count as unread until the client takes them.
  explicit ResponsesWriter(OutJson echo);

 private:
  void begin(const OutJson& chunk) override;
  void open(const AnswerPart& part) override;
  void grow(const AnswerPart& part, const std::string& piece) override;
  void close(const AnswerPart& part) override;
  void end(const AnswerEnd& end) override;
  void fail(const ApiError& error) override;
  OutJson answer() const override { return response_; }

  std::string item_id(const AnswerPart& part) const;
  void emit_event(const char* type, OutJson fields);
  void emit_of_item(const char* type, const AnswerPart& part, OutJson fields);
  void emit_response(const char* type);

  OutJson echo_;
  OutJson short_echo_;  // of what is short
  OutJson response_;
  OutJson item_;        // the one that is open
  std::string suffix_;  // of ids
  int64_t sequence_ = 0;
};

}  // namespace dms::serve
