#pragma once
// What a request says of tools: `tools`, `tool_choice` and `parallel_tool_calls`.

#include <string>

#include "serve/fields.h"
#include "serve/limits.h"
#include "serve/tool.h"

namespace dms::serve {

struct ToolRequest {
  enum class Choice { none, automatic, required, named };

  Tools tools{};  // null: none
  Choice choice = Choice::none;
  std::string name{};       // where one is named
  bool is_parallel = true;  // an answer may call several
  std::string shown{};      // the JSON that the template is given; empty: nothing

  bool must_call() const { return choice == Choice::required || choice == Choice::named; }
};

/// Throws ApiError.
ToolRequest read_tools(const Fields& body, const RequestLimits& limits);

}  // namespace dms::serve
