// Operators, attributes, items and slices (declared in builtins.h).

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "text/jinja/builtins.h"
#include "text/jinja/text.h"

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

Value missing(Runtime& runtime, const Value& object, std::string_view name) {
  constexpr size_t kLongestShown = 100;
  return runtime.undefined("'" + type_name(object) + " object' has no attribute '" +
                           std::string(name.substr(0, kLongestShown)) + "'");
}

/// Makes sure that the element after the current one, if any, has been pulled.
bool look_ahead(Loop& loop) {
  if (!loop.ahead.empty()) return true;
  std::optional<Value> next = loop.pull();
  if (next) loop.ahead.push_back(std::move(*next));
  return !loop.ahead.empty();
}

int64_t loop_length(Runtime& runtime, Loop& loop) {
  ListBuilder rest(runtime);  // not yet pulled
  while (std::optional<Value> next = loop.pull()) rest.add(std::move(*next));
  if (rest.size() > 0) {
    runtime.step(std::ssize(loop.ahead) + static_cast<int64_t>(rest.size()));
    std::vector<Value> ahead = rest.take();
    std::ranges::reverse(ahead);
    ahead.insert(ahead.end(), loop.ahead.begin(), loop.ahead.end());
    loop.ahead = std::move(ahead);
  }
  return loop.index + 1 + std::ssize(loop.ahead);
}

Value loop_attribute(Runtime& runtime, Loop& loop, std::string_view name) {
  if (name == "index") return loop.index + 1;
  if (name == "index0") return loop.index;
  if (name == "first") return loop.index == 0;
  if (name == "last") return !look_ahead(loop);
  if (name == "length") return loop_length(runtime, loop);
  if (name == "revindex") return loop_length(runtime, loop) - loop.index;
  if (name == "revindex0") return loop_length(runtime, loop) - loop.index - 1;
  if (name == "depth") return loop.depth;
  if (name == "depth0") return loop.depth - 1;
  if (name == "previtem") {
    return loop.previous ? *loop.previous : runtime.undefined("there is no previous item");
  }
  if (name == "nextitem") {
    return look_ahead(loop) ? loop.ahead.back() : runtime.undefined("there is no next item");
  }
  return runtime.undefined("'loop' has no attribute '" + std::string(name) + "'");
}

Value bound_method(Runtime& runtime, const Value& object, std::string_view name) {
  runtime.make(kObjectBytes + sizeof(Callable));
  return std::make_shared<const Callable>(
      Callable{.kind = Callable::Kind::kMethod, .name = std::string(name), .self = object});
}

/// What Python's getattr finds, or nothing.
std::optional<Value> own_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  if (Loop* loop = object.loop()) {
    if (name == "cycle" || name == "changed") return bound_method(runtime, object, name);
    return loop_attribute(runtime, *loop, name);
  }
  if (const Namespace* space = object.name_space()) {
    const Value* value = space->attributes.find(name);
    return value == nullptr ? std::nullopt : std::optional<Value>(*value);
  }
  if (object.dict() != nullptr && runtime.hides_dict_methods()) return std::nullopt;
  switch (find_method(object, name)) {
    case MethodKind::kKnown:
      return bound_method(runtime, object, name);
    case MethodKind::kForbidden:
      return runtime.undefined("access to method '" + std::string(name) + "' of a " +
                               type_name(object) + " is not safe: it would change it");
    case MethodKind::kNone:
      break;
  }
  return std::nullopt;
}

/// What Python's obj[key] finds, or nothing.
std::optional<Value> own_item(Runtime& runtime, const Value& object, const Value& key) {
  if (const Dict* dict = object.dict()) {
    const Value* value = dict->find(runtime, key);
    return value == nullptr ? std::nullopt : std::optional<Value>(*value);
  }
  const Sequence* sequence = object.sequence();
  const bool has_items =
      object.is_string() || (sequence != nullptr && sequence->kind <= Sequence::Kind::kRange);
  if (!key.is_integral() || !has_items) return std::nullopt;
  const int64_t count = *length(runtime, object);
  const int64_t index = key.integer() < 0 ? key.integer() + count : key.integer();
  if (index < 0 || index >= count) return std::nullopt;
  if (sequence != nullptr) return sequence->items[static_cast<size_t>(index)];
  const std::string_view rest =
      std::string_view(object.string()).substr(character_offset(object.string(), index));
  return make_text(runtime, rest.substr(0, character_bytes(rest)));
}

std::string key_text(const Value& key) {
  if (key.is_string()) return key.string();
  return key.is_integral() ? std::to_string(key.integer()) : type_name(key);
}

struct Bounds {
  int64_t start = 0;
  int64_t stop = 0;
  int64_t step = 1;
};

/// Python's slice.indices().
Bounds resolve(const Runtime& runtime, const std::array<const Value*, 3>& parts, int64_t length) {
  for (const Value* part : parts) {
    runtime.require_defined(*part);
    if (!part->is_none() && !part->is_integral()) runtime.fail("slice bounds must be integers");
  }
  Bounds bounds;
  if (!parts[2]->is_none()) bounds.step = parts[2]->integer();
  if (bounds.step == 0) runtime.fail("slice step must not be zero");
  bounds.step = std::clamp<int64_t>(bounds.step, -length - 1, length + 1);
  const int64_t lowest = bounds.step < 0 ? -1 : 0;
  const int64_t highest = bounds.step < 0 ? length - 1 : length;
  const auto bound = [&](const Value& value, int64_t fallback) {
    if (value.is_none()) return fallback;
    const int64_t index = value.integer();
    return std::clamp(index < 0 ? std::max(index, -length - 1) + length : index, lowest, highest);
  };
  bounds.start = bound(*parts[0], bounds.step < 0 ? highest : lowest);
  bounds.stop = bound(*parts[1], bounds.step < 0 ? lowest : highest);
  return bounds;
}

template <class Item, class Take>
void for_each_in(const std::vector<Item>& items, const Bounds& bounds, Take take) {
  for (int64_t i = bounds.start; bounds.step > 0 ? i < bounds.stop : i > bounds.stop;
       i += bounds.step) {
    take(items[static_cast<size_t>(i)]);
  }
}

Value slice_text(Runtime& runtime,
                 const std::string& text,
                 const std::array<const Value*, 3>& parts) {
  const Bounds bounds = resolve(runtime, parts, *length(runtime, text));
  runtime.scan(text.size());
  if (bounds.step == 1) {
    const size_t start = character_offset(text, bounds.start);
    const size_t stop = std::max(start, character_offset(text, bounds.stop));
    return make_text(runtime, std::string_view(text).substr(start, stop - start));
  }
  runtime.make(text.size() * sizeof(std::string_view));
  std::vector<std::string_view> all;
  for (const std::string_view character : characters(text)) all.push_back(character);
  TextBuilder out(runtime);
  for_each_in(all, bounds, [&](std::string_view character) { out.add(character); });
  return out.take();
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

Value attribute(Runtime& runtime, const Value& object, std::string_view name) {
  runtime.require_defined(object);
  if (std::optional<Value> value = own_attribute(runtime, object, name)) return std::move(*value);
  if (const Dict* dict = object.dict()) {
    if (const Value* value = dict->find(name)) return *value;
  }
  return missing(runtime, object, name);
}

Value item(Runtime& runtime, const Value& object, const Value& key) {
  runtime.require_defined(object);
  if (std::optional<Value> value = own_item(runtime, object, key)) return std::move(*value);
  if (key.is_string()) {
    if (std::optional<Value> value = own_attribute(runtime, object, key.string())) {
      return std::move(*value);
    }
  }
  return missing(runtime, object, key_text(key));
}

Value slice(Runtime& runtime,
            const Value& object,
            const Value& start,
            const Value& stop,
            const Value& step) {
  runtime.require_defined(object);
  if (object.is_string()) return slice_text(runtime, object.string(), {&start, &stop, &step});
  const Sequence* sequence = object.sequence();
  if (sequence == nullptr || sequence->kind > Sequence::Kind::kRange) {
    runtime.fail("a " + type_name(object) + " cannot be sliced");
  }
  ListBuilder out(runtime);
  for_each_in(sequence->items,
              resolve(runtime, {&start, &stop, &step}, std::ssize(sequence->items)),
              [&](const Value& value) {
                runtime.step();
                out.add(value);
              });
  return make_sequence(runtime, sequence->kind, out.take());
}

}  // namespace dms::text::jinja
