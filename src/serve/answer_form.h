#pragma once
// How the events of a request's answers become the JSON of an endpoint: whole, or chunk by chunk.
// Answers are counted over all prompts of a request: choice = prompt * n + answer.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "dms/request.h"
#include "serve/usage.h"

namespace dms::serve {

/// What stands on the outside of every answer.
struct AnswerHead {
  std::string id;
  int64_t created = 0;  // seconds since 1970
  std::string model;
  bool usage_in_chunks = false;  // chunks say that theirs is null
};

class AnswerForm {
 public:
  virtual ~AnswerForm() = default;

  /// The first chunk of a choice, where it has one before its first token.
  virtual std::optional<OutJson> begin(int64_t choice) = 0;
  /// To be told of every token, streamed or not. The chunks that come of it; often none.
  virtual std::vector<OutJson> token(int64_t choice, const TokenEvent& event) = 0;
  /// The last chunks of a choice, at least one.
  virtual std::vector<OutJson> finish(int64_t choice, const FinishedEvent& event) = 0;
  /// A chunk without text that tells what the choice's cache holds.
  virtual OutJson memory(int64_t choice, OutJson report) = 0;
  /// The chunk that ends a stream where usage was asked for.
  virtual OutJson usage_chunk(const Usage& usage) const = 0;
  /// The whole answer, once all choices have finished.
  virtual OutJson whole(std::span<const Generation> answers, const Usage& usage) const = 0;
};

/// "stop", "length", or "abort": a deadline, or the server's end.
std::string api_finish_reason(const std::string& reason);

/// "PREFIX-" and random letters.
std::string new_answer_id(const std::string& prefix);

/// {id, object, created, model}
OutJson head_json(const AnswerHead& head, const char* object);

}  // namespace dms::serve
