#pragma once
// Fields of the APIs that would change an answer and that this server does not know: to ignore them
// would be to answer another question.

#include <span>
#include <string_view>

#include "serve/fields.h"

namespace dms::serve {

struct Unsupported {
  std::string_view field;
  std::string_view neutral;  // as JSON: the value that changes nothing; empty: none but null
  std::string_view instead;  // what to do; may be empty
};

/// All throw ApiError where a field is set to more than what it means to leave it out; the second
/// for completions of both kinds, the third for the APIs whose requests are made into those of
/// chat: what chat takes under this name, and they do not, too.
void refuse_fields(const Fields& body, std::span<const Unsupported> fields);
void refuse_unsupported(const Fields& body);
void refuse_fields_of_chat(const Fields& body);

}  // namespace dms::serve
