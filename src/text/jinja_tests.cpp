// Tests, "value is name" (declared in jinja_filters.h).

#include <algorithm>
#include <array>
#include <utility>

#include "text/jinja_filters.h"
#include "text/jinja_operators.h"
#include "text/jinja_string_methods.h"

namespace dms::text::jinja {
namespace {

using Plain = bool (*)(const Value&);

bool is_true(const Value& value) { return value.get<bool>() != nullptr && *value.get<bool>(); }
bool is_false(const Value& value) { return value.get<bool>() != nullptr && !*value.get<bool>(); }

bool is_sequence(const Value& value) {
  const Sequence* sequence = value.sequence();
  return value.is_undefined() || value.is_string() || value.dict() != nullptr ||
         (sequence != nullptr && sequence->kind <= Sequence::Kind::kRange);
}

bool is_iterable(const Value& value) {
  return value.is_undefined() || value.is_string() || value.dict() != nullptr ||
         value.sequence() != nullptr || value.iterator() != nullptr || value.loop() != nullptr;
}

constexpr std::array<std::pair<std::string_view, Plain>, 15> kPlain{{
    {"defined", [](const Value& v) { return !v.is_undefined(); }},
    {"undefined", [](const Value& v) { return v.is_undefined(); }},
    {"none", [](const Value& v) { return v.is_none(); }},
    {"boolean", [](const Value& v) { return v.get<bool>() != nullptr; }},
    {"true", is_true},
    {"false", is_false},
    {"integer", [](const Value& v) { return v.get<int64_t>() != nullptr; }},
    {"float", [](const Value& v) { return v.get<double>() != nullptr; }},
    {"number", [](const Value& v) { return v.is_number(); }},
    {"string", [](const Value& v) { return v.is_string(); }},
    {"mapping", [](const Value& v) { return v.dict() != nullptr; }},
    {"sequence", is_sequence},
    {"iterable", is_iterable},
    {"callable", [](const Value& v) { return v.callable() != nullptr || v.is_undefined(); }},
    {"escaped", [](const Value&) { return false; }},
}};

/// Names of comparisons with one argument, and the operator each stands for.
constexpr std::array<std::pair<std::string_view, std::string_view>, 17> kComparisons{{
    {"==", "=="},
    {"eq", "=="},
    {"equalto", "=="},
    {"!=", "!="},
    {"ne", "!="},
    {">", ">"},
    {"gt", ">"},
    {"greaterthan", ">"},
    {">=", ">="},
    {"ge", ">="},
    {"<", "<"},
    {"lt", "<"},
    {"lessthan", "<"},
    {"<=", "<="},
    {"le", "<="},
    {"in", "in"},
    {"sameas", "sameas"},
}};

/// Python's "is", as far as values that are shared without a trace can tell.
bool same(Runtime& runtime, const Value& a, const Value& b) {
  if (a.data().index() != b.data().index()) return false;
  if (a.sequence() != nullptr || a.dict() != nullptr) {
    return a.sequence() == b.sequence() && a.dict() == b.dict();
  }
  return equal(runtime, a, b);
}

bool remainder_is(Runtime& runtime, const Value& value, const Value& by, int64_t expected) {
  if (value.is_string()) runtime.fail("a remainder needs a number");
  return equal(runtime, binary(runtime, "%", value, by), expected);
}

}  // namespace

bool apply_test(Runtime& runtime,
                std::string_view name,
                const Value& value,
                const Arguments& arguments) {
  runtime.step();
  const auto plain = std::ranges::find(kPlain, name, [](const auto& t) { return t.first; });
  const bool unary_test = plain != kPlain.end() || name == "odd" || name == "even" ||
                          name == "lower" || name == "upper";
  if (unary_test) arguments.expect(runtime, name, {});
  if (plain != kPlain.end()) return plain->second(value);
  if (name == "odd") return remainder_is(runtime, value, int64_t{2}, 1);
  if (name == "even") return remainder_is(runtime, value, int64_t{2}, 0);
  if (name == "lower" || name == "upper") {
    const std::string text = to_text(runtime, value);
    runtime.scan(text.size());
    return name == "lower" ? all_lower(text) : all_upper(text);
  }
  if (name == "divisibleby") {
    arguments.expect(runtime, name, {"num"}, 1);
    return remainder_is(runtime, value, *arguments.get(0, "num"), 0);
  }
  const auto it = std::ranges::find(kComparisons, name, [](const auto& t) { return t.first; });
  if (it == kComparisons.end()) runtime.fail("unsupported test '" + std::string(name) + "'");
  arguments.expect(runtime, name, {"other"}, 1);
  const Value& other = *arguments.get(0, "other");
  return it->second == "sameas" ? same(runtime, value, other)
                                : compare_by(runtime, it->second, value, other);
}

}  // namespace dms::text::jinja
