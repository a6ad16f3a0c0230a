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

bool is_plain_sequence(const Value& value) {
  const Sequence* sequence = value.sequence();
  return sequence != nullptr &&
         (sequence->kind == Sequence::Kind::kList || sequence->kind == Sequence::Kind::kTuple);
}

Value repeat(Runtime& runtime, const Value& value, int64_t count) {
  if (value.is_string()) {
    TextBuilder out(runtime);
    out.repeat(value.string(), count);
    return out.take();
  }
  const Sequence& sequence = *value.sequence();
  ListBuilder out(runtime);
  for (int64_t i = 0; i < count && !sequence.items.empty(); ++i) out.add_all(sequence.items);
  return make_sequence(runtime, sequence.kind, out.take());
}

std::string html_of(Runtime& runtime, const Value& value) {
  constexpr size_t kLongestEntity = 5;
  if (value.is_markup()) return value.string();
  runtime.scan(value.string().size());
  runtime.make(value.string().size() * kLongestEntity);
  return escape_html(value.string());
}

Value add(Runtime& runtime, const Value& a, const Value& b) {
  if (a.is_string() && b.is_string()) {
    TextBuilder out(runtime);
    const bool markup = a.is_markup() || b.is_markup();
    for (const Value* part : {&a, &b}) {
      out.add(markup ? html_of(runtime, *part) : part->string());
    }
    return markup ? Value::markup(out.take()) : Value(out.take());
  }
  const bool joinable =
      is_plain_sequence(a) && is_plain_sequence(b) && a.sequence()->kind == b.sequence()->kind;
  if (!joinable) bad_operands(runtime, "+", a, b);
  ListBuilder items(runtime);
  items.add_all(a.sequence()->items);
  items.add_all(b.sequence()->items);
  return make_sequence(runtime, a.sequence()->kind, items.take());
}

bool ordered(Runtime& runtime, std::string_view name, const Value& a, const Value& b) {
  const std::optional<int> order = compare(runtime, a, b);
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
    runtime.scan(container.string().size() + item.string().size());
    return find_text(container.string(), item.string()) != std::string_view::npos;
  }
  if (const Dict* dict = container.dict()) {
    if (is_one_of(type_name(item), {"list", "dict"}))
      runtime.fail("a key cannot be a list or dict");
    return dict->find(runtime, item) != nullptr;
  }
  return std::ranges::any_of(Elements(runtime, container).span(),
                             [&](const Value& other) { return equal(runtime, item, other); });
}

bool compare_by(Runtime& runtime, std::string_view name, const Value& a, const Value& b) {
  runtime.step();
  if (name == "==") return equal(runtime, a, b);
  if (name == "!=") return !equal(runtime, a, b);
  if (name == "in") return contains(runtime, b, a);
  if (name == "not in") return !contains(runtime, b, a);
  return ordered(runtime, name, a, b);
}

}  // namespace dms::text::jinja
