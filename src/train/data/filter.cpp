#include "train/data/filter.h"

#include <algorithm>
#include <string>

#include "dms/error.h"
#include "train/data/filter_parser.h"

namespace dms::train::data {
namespace {

using Kind = FilterNode::Kind;

/// Python's bool().
bool truthy(const Json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value != 0;
  if (value.is_string()) return !value.get_ref<const std::string&>().empty();
  return !value.empty();  // null is empty
}

/// In comparisons Python's True is 1 and its False 0.
const Json& as_number(const Json& value) {
  static const Json zero = 0;
  static const Json one = 1;
  if (!value.is_boolean()) return value;
  return value.get<bool>() ? one : zero;
}

/// One evaluation over one record.
class Evaluation {
 public:
  Evaluation(const Json& record, const std::string& where) : record_(record), where_(where) {}

  bool holds(const FilterNode& node) {
    Json computed;
    return truthy(evaluate(node, computed));
  }

 private:
  [[noreturn]] void fail(const std::string& what, const std::string& hint = {}) const {
    throw InputError({.where = where_, .what = "filter: " + what, .hint = hint});
  }

  /// The node's value: in the record or the tree, or else in `computed`. Records' texts are large,
  /// so they are not copied.
  const Json& evaluate(const FilterNode& node, Json& computed) {
    switch (node.kind) {
      case Kind::constant:
        return node.constant;
      case Kind::field:
        return require_field(node);
      case Kind::list:
        computed = Json::array();
        for (const auto& child : node.children) {
          Json item;
          computed.push_back(evaluate(*child, item));
        }
        break;
      case Kind::call:
        computed = call(node);
        break;
      case Kind::logical_not:
        computed = !holds(*node.children.front());
        break;
      case Kind::logical_and:
        computed = std::ranges::all_of(node.children, [&](const auto& c) { return holds(*c); });
        break;
      case Kind::logical_or:
        computed = std::ranges::any_of(node.children, [&](const auto& c) { return holds(*c); });
        break;
      case Kind::compare:
        computed = compare(node);
        break;
    }
    return computed;
  }

  /// Null where it is missing.
  const Json* find_field(const FilterNode& field) const {
    const Json* value = &record_;
    for (const Json& step : field.steps) {
      if (step.is_string()) {
        const auto& key = step.get_ref<const std::string&>();
        if (!value->is_object() || !value->contains(key)) return nullptr;
        value = &(*value)[key];
      } else {
        const auto place = step.get<size_t>();
        if (!value->is_array() || place >= value->size()) return nullptr;
        value = &(*value)[place];
      }
    }
    return value;
  }

  const Json& require_field(const FilterNode& field) const {
    const Json* value = find_field(field);
    if (value == nullptr) {
      fail("field " + field.name + " is missing", "test for it with has(" + field.name + ")");
    }
    return *value;
  }

  Json call(const FilterNode& node) {
    const FilterNode& argument = *node.children.front();
    if (node.name == "has") {
      const Json* value = find_field(argument);
      return value != nullptr && !value->is_null();
    }
    Json computed;
    const Json& value = evaluate(argument, computed);
    if (node.name == "len") return length(value);
    if (!value.is_array()) fail(node.name + "() needs a list, got " + value.type_name());
    return node.name == "any" ? std::ranges::any_of(value, truthy)
                              : std::ranges::all_of(value, truthy);
  }

  /// Python's len(): of text, code points.
  int64_t length(const Json& value) const {
    if (value.is_string()) {
      return std::ranges::count_if(value.get_ref<const std::string&>(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u;
      });
    }
    if (!value.is_structured()) fail(std::string("len() of ") + value.type_name());
    return std::ssize(value);
  }

  bool compare(const FilterNode& node) {
    Json left_computed;
    const Json* left = &evaluate(*node.children.front(), left_computed);
    for (size_t i = 0; i < node.operators.size(); ++i) {
      Json right_computed;
      const Json& right = evaluate(*node.children[i + 1], right_computed);
      if (!relate(*left, node.operators[i], right)) return false;
      if (&right == &right_computed) {
        left_computed = std::move(right_computed);
        left = &left_computed;
      } else {
        left = &right;
      }
    }
    return true;
  }

  bool relate(const Json& first, const std::string& symbol, const Json& second) const {
    if (symbol == "in") return contains(second, first);
    if (symbol == "not in") return !contains(second, first);
    const Json& left = as_number(first);
    const Json& right = as_number(second);
    if (symbol == "==") return left == right;
    if (symbol == "!=") return left != right;
    const bool is_ordered =
        (left.is_number() && right.is_number()) || (left.is_string() && right.is_string());
    if (!is_ordered) {
      fail("cannot tell whether a " + std::string(left.type_name()) + " is " + symbol + " a " +
           right.type_name());
    }
    if (symbol == "<") return left < right;
    if (symbol == "<=") return left <= right;
    return symbol == ">" ? left > right : left >= right;
  }

  bool contains(const Json& whole, const Json& part) const {
    if (whole.is_array()) return std::ranges::find(whole, part) != whole.end();
    if (!part.is_string()) fail(std::string("'in' needs a list, got ") + whole.type_name());
    const auto& text = part.get_ref<const std::string&>();
    if (whole.is_object()) return whole.contains(text);
    if (!whole.is_string()) fail(std::string("'in' needs a list, got ") + whole.type_name());
    return whole.get_ref<const std::string&>().find(text) != std::string::npos;
  }

  const Json& record_;
  const std::string& where_;
};

}  // namespace

Filter::Filter(std::string_view expression, const std::string& where)
    : root_(parse_filter(expression, where)) {}
Filter::~Filter() = default;
Filter::Filter(Filter&&) noexcept = default;

bool Filter::keeps(const Json& record, const std::string& where) const {
  return Evaluation(record, where).holds(*root_);
}

}  // namespace dms::train::data
