#include "text/jinja_operators.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "text/jinja_text.h"

namespace dms::text::jinja {
namespace {

[[noreturn]] void bad_operands(const Runtime& runtime,
                               std::string_view name,
                               const Value& a,
                               const Value& b) {
  runtime.require_defined(a);
  runtime.require_defined(b);
  runtime.fail("unsupported operands of '" + std::string(name) + "': " + type_name(a) + " and " +
               type_name(b));
}

int64_t floor_div(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

int64_t floor_mod(int64_t a, int64_t b) { return b == -1 ? 0 : a - floor_div(a, b) * b; }

double floor_mod(double a, double b) {
  const double rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(0.0, b);
  return (rest < 0) != (b < 0) ? rest + b : rest;
}

Value integer_power(Runtime& runtime, int64_t base, int64_t exponent) {
  int64_t result = 1;
  bool overflow = false;
  for (int64_t i = 0; i < exponent && !overflow; ++i) {
    if (base == 0 || base == 1) return base;
    if (base == -1) return exponent % 2 == 0 ? int64_t{1} : int64_t{-1};
    overflow = __builtin_mul_overflow(result, base, &result);
  }
  if (overflow) runtime.fail("integer too large");
  return result;
}

Value integer_binary(Runtime& runtime, std::string_view name, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  if (name == "+") {
    overflow = __builtin_add_overflow(a, b, &result);
  } else if (name == "-") {
    overflow = __builtin_sub_overflow(a, b, &result);
  } else if (name == "*") {
    overflow = __builtin_mul_overflow(a, b, &result);
  } else if (name == "**") {
    return integer_power(runtime, a, b);
  } else {
    if (b == 0) runtime.fail("division by zero");
    if (name == "%") return floor_mod(a, b);
    overflow = b == -1 && a == std::numeric_limits<int64_t>::min();
    if (!overflow) result = floor_div(a, b);
  }
  if (overflow) runtime.fail("integer too large");
  return result;
}

Value float_binary(Runtime& runtime, std::string_view name, double a, double b) {
  if (name == "+") return a + b;
  if (name == "-") return a - b;
  if (name == "*") return a * b;
  if (name == "**") {
    if (a == 0 && b < 0) runtime.fail("zero to a negative power");
    if (a < 0 && std::floor(b) != b) runtime.fail("unsupported: a complex number");
    const double power = std::pow(a, b);
    if (std::isinf(power) && std::isfinite(a) && std::isfinite(b)) {
      runtime.fail("number too large");
    }
    return power;
  }
  if (b == 0) runtime.fail("division by zero");
  if (name == "/") return a / b;
  if (name == "%") return floor_mod(a, b);
  return std::floor((a - floor_mod(a, b)) / b + 0.5);
}

std::vector<Value> repeat_items(Runtime& runtime, const std::vector<Value>& items, int64_t count) {
  std::vector<Value> out;
  for (int64_t i = 0; i < count && !items.empty(); ++i) {
    runtime.made(items.size() * sizeof(Value));
    out.insert(out.end(), items.begin(), items.end());
  }
  return out;
}

bool is_plain_sequence(const Value& value) {
  const Sequence* sequence = value.sequence();
  return sequence != nullptr &&
         (sequence->kind == Sequence::Kind::kList || sequence->kind == Sequence::Kind::kTuple);
}

Value repeat(Runtime& runtime, const Value& value, int64_t count) {
  if (!value.is_string()) {
    const Sequence& sequence = *value.sequence();
    return make_sequence(sequence.kind, repeat_items(runtime, sequence.items, count));
  }
  std::string out;
  for (int64_t i = 0; i < count && !value.string().empty(); ++i) {
    runtime.made(value.string().size());
    out += value.string();
  }
  return out;
}

Value add(Runtime& runtime, const Value& a, const Value& b) {
  if (a.is_string() && b.is_string()) {
    runtime.made(a.string().size() + b.string().size());
    if (!a.is_markup() && !b.is_markup()) return a.string() + b.string();
    const auto escaped = [](const Value& value) {
      return value.is_markup() ? value.string() : escape_html(value.string());
    };
    return Value::markup(escaped(a) + escaped(b));
  }
  const bool joinable =
      is_plain_sequence(a) && is_plain_sequence(b) && a.sequence()->kind == b.sequence()->kind;
  if (!joinable) bad_operands(runtime, "+", a, b);
  std::vector<Value> items = a.sequence()->items;
  items.insert(items.end(), b.sequence()->items.begin(), b.sequence()->items.end());
  runtime.made(items.size() * sizeof(Value));
  return make_sequence(a.sequence()->kind, std::move(items));
}

bool ordered(Runtime& runtime, std::string_view name, const Value& a, const Value& b) {
  const std::optional<int> order = compare(a, b);
  if (!order) bad_operands(runtime, name, a, b);
  if (*order == 2) return false;  // NaN
  if (name == "<") return *order < 0;
  if (name == "<=") return *order <= 0;
  return name == ">" ? *order > 0 : *order >= 0;
}

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::ranges::find(names, name) != names.end();
}

}  // namespace

Value binary(Runtime& runtime, std::string_view name, const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    const bool integral =
        a.is_integral() && b.is_integral() && name != "/" && (name != "**" || b.integer() >= 0);
    return integral ? integer_binary(runtime, name, a.integer(), b.integer())
                    : float_binary(runtime, name, a.number(), b.number());
  }
  if (name == "+") return add(runtime, a, b);
  if (name == "%" && a.is_string()) return percent_format(runtime, a.string(), b);
  if (name == "*") {
    if ((a.is_string() || is_plain_sequence(a)) && b.is_integral()) {
      return repeat(runtime, a, b.integer());
    }
    if ((b.is_string() || is_plain_sequence(b)) && a.is_integral()) {
      return repeat(runtime, b, a.integer());
    }
  }
  bad_operands(runtime, name, a, b);
}

Value unary(Runtime& runtime, std::string_view name, const Value& value) {
  if (!value.is_number()) {
    runtime.require_defined(value);
    runtime.fail("unsupported operand of unary '" + std::string(name) + "': " + type_name(value));
  }
  if (value.is_integral()) {
    return name == "-" ? integer_binary(runtime, "-", 0, value.integer()) : Value(value.integer());
  }
  return name == "-" ? -value.number() : value.number();
}

bool contains(Runtime& runtime, const Value& container, const Value& item) {
  if (container.is_string()) {
    if (!item.is_string()) bad_operands(runtime, "in", item, container);
    runtime.step(static_cast<int64_t>(container.string().size() / 64));
    return container.string().find(item.string()) != std::string::npos;
  }
  if (const Dict* dict = container.dict()) {
    if (is_one_of(type_name(item), {"list", "dict"}))
      runtime.fail("a key cannot be a list or dict");
    return dict->find(item) != nullptr;
  }
  const std::vector<Value> items = elements(runtime, container);
  return std::ranges::any_of(items, [&](const Value& other) { return equal(item, other); });
}

bool compare_by(Runtime& runtime, std::string_view name, const Value& a, const Value& b) {
  runtime.step();
  if (name == "==") return equal(a, b);
  if (name == "!=") return !equal(a, b);
  if (name == "in") return contains(runtime, b, a);
  if (name == "not in") return !contains(runtime, b, a);
  return ordered(runtime, name, a, b);
}

}  // namespace dms::text::jinja
