#pragma once
// A function that a request lets the model call.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace dms::serve {

struct Tool {
  std::string name;
  OrderedJson parameters = OrderedJson::object();  // a JSON schema
  bool is_strict = false;                          // arguments are held to the schema
};

/// All of a request's; n answers share them.
using Tools = std::shared_ptr<const std::vector<Tool>>;

/// Null where there is none of that name.
const Tool* find_tool(const std::vector<Tool>& tools, std::string_view name);

/// Whether one's name begins so.
bool begins_name(const std::vector<Tool>& tools, std::string_view beginning);

}  // namespace dms::serve
