#pragma once
// What a request came to, as the API counts it.

#include <cstdint>
#include <string>
#include <vector>

#include "dms/request.h"
#include "serve/api_error.h"

namespace dms::serve {

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  int64_t cached_tokens = 0;  // of prompt_tokens
  // Guessed ahead: those of completion_tokens that were guessed right, and the guesses that were
  // wrong, which are none of them.
  int64_t accepted_tokens = 0;
  int64_t rejected_tokens = 0;
  // Of all answers together; memory that they share counts for each.
  int64_t dense_tokens = 0;
  int64_t held_tokens = 0;
  int64_t bytes = 0;
  std::vector<std::string> notes{};  // what was left aside of the request

  /// Adds an answer; a prompt counts once, with the first of its answers.
  void add(const Generation& answer, bool is_first_of_prompt);
};

OutJson usage_json(const Usage& usage);

}  // namespace dms::serve
