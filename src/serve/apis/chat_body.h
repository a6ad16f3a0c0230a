#pragma once
// The body of a chat completion that is made of the body of another API.

#include <string>

#include "serve/apis/field_names.h"
#include "serve/fields.h"

namespace dms::serve {

struct ChatBody {
  FieldNames names;
  OrderedJson json = OrderedJson::object();
};

/// Copies the fields that mean the same under the same name in every API, vLLM's and ours among
/// them. Throws ApiError where the other APIs have no place for what a field asks for.
void copy_common_fields(const Fields& from, OrderedJson& chat);

/// {"type": "function", "function": {…}} of a tool whose parameters' schema is called `schema`.
OrderedJson chat_tool(const Fields& tool, const std::string& schema);
/// {"type": "function", "function": {"name": …}} of a tool_choice with a "name".
OrderedJson chat_tool_choice(const Fields& choice);
/// {"type": "json_schema", "json_schema": {…}} of a format with a "schema", and perhaps a "name".
OrderedJson chat_format_of_schema(const Fields& format);

/// A text that must be there.
std::string required_text(const Fields& fields, const char* key);
/// A text that must be there and say something.
std::string required_name(const Fields& fields, const char* key);

OrderedJson text_part(std::string text);

}  // namespace dms::serve
