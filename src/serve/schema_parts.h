#pragma once
// What a function's schema says of its arguments, for forms that write them otherwise than as JSON.

#include <string>
#include <vector>

#include "serve/tool.h"

namespace dms::serve {

struct Parameter {
  std::string name;
  OrderedJson schema;
  bool is_required = false;
};

/// `schema`'s properties, and what it requires beside them.
std::vector<Parameter> parameters_of(const OrderedJson& schema);

/// `part` of `schema` with what that defines ($defs), where it refers to anything.
OrderedJson with_definitions(OrderedJson part, const OrderedJson& schema);

/// The schemas of which a value fits one: anyOf's, oneOf's, those of several types; else the only
/// one. Throws ApiError where they come to very much.
std::vector<OrderedJson> choices_of(const OrderedJson& schema);

/// enum's values, or const's; empty: it may have any.
std::vector<OrderedJson> values_of(const OrderedJson& schema);

/// Throws ApiError naming the tool where a strict one has keywords beside those of `known` and
/// those that ask for nothing.
void refuse_other_keywords(const Tool& tool,
                           const OrderedJson& schema,
                           const std::vector<std::string_view>& known);

}  // namespace dms::serve
