#pragma once
// What the fields of a chat completion's body are called in the body of another API that it was
// made of: its reader finds what is wrong, and the caller is told in their own words.

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serve/api_error.h"

namespace dms::serve {

class FieldNames {
 public:
  using Pair = std::pair<std::string_view, std::string_view>;

  /// Chat completions' name and the other API's, which stand for what is in these fields too. The
  /// first that fits counts. `schema` is what the API calls a tool's "function.parameters".
  FieldNames(std::initializer_list<Pair> pairs, std::string_view schema)
      : pairs_(pairs), schema_(schema) {}

  /// The next of "messages[i]" was made of the field of this name.
  void add_message(std::string name) { messages_.push_back(std::move(name)); }

  /// The same error, of the other API's field.
  ApiError rename(const ApiError& error) const;

 private:
  std::string name_of(const std::string& chat_name) const;
  std::string tool_name_of(std::string name) const;

  std::vector<Pair> pairs_;
  std::string_view schema_;
  std::vector<std::string> messages_;
};

}  // namespace dms::serve
