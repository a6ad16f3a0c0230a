#include "serve/tool.h"

#include <algorithm>

namespace dms::serve {

const Tool* find_tool(const std::vector<Tool>& tools, std::string_view name) {
  const auto found = std::ranges::find(tools, name, &Tool::name);
  return found == tools.end() ? nullptr : &*found;
}

bool begins_name(const std::vector<Tool>& tools, std::string_view beginning) {
  return std::ranges::any_of(
      tools, [beginning](const Tool& tool) { return tool.name.starts_with(beginning); });
}

}  // namespace dms::serve
