#pragma once
// The syntax tree of a filter expression and its parser.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace dms::train::data {

struct FilterNode {
  enum class Kind {
    constant,
    field,        // steps: keys (strings) and places in lists (integers)
    list,         // children
    call,         // name, one child
    logical_not,  // one child
    logical_and,  // children
    logical_or,
    compare  // children[0] operators[0] children[1] operators[1] children[2] …
  };
  Kind kind = Kind::constant;
  Json constant = {};
  std::vector<Json> steps = {};
  std::string name = {};  // of a call, or a field as it was written
  std::vector<std::string> operators = {};
  std::vector<std::unique_ptr<FilterNode>> children = {};
};

/// Throws InputError "WHERE: column N: what".
std::unique_ptr<FilterNode> parse_filter(std::string_view expression, const std::string& where);

}  // namespace dms::train::data
