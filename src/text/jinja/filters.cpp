// Filters and tests (declared in builtins.h).

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "text/jinja/builtins.h"
#include "text/jinja/runtime.h"
#include "text/jinja/text.h"

namespace dms::text::jinja {
namespace {

/// What a filter looks through.
std::string input_text(const FilterCall& call) {
  std::string text = to_text(call.runtime, call.value);
  call.runtime.scan(text.size());
  return text;
}

Value case_filter(const FilterCall& call) {
  call.expect({});
  const std::string text = input_text(call);
  call.runtime.make(text.size());
  if (call.name == "upper") return to_upper(text);
  return call.name == "lower" ? to_lower(text) : capitalize(text);
}

/// Words begin after white space and opening brackets, unlike those of str.title().
Value title_filter(const FilterCall& call) {
  call.expect({});
  TextBuilder out(call.runtime);
  bool starts = true;
  const std::string text = input_text(call);
  for (const std::string_view character : characters(text)) {
    out.add(starts ? to_upper(character) : to_lower(character));
    starts = is_space(character) || std::string_view("-({[<").find(character) != std::string::npos;
  }
  return out.take();
}

Value trim_filter(const FilterCall& call) {
  call.expect({"chars"});
  const std::string text = input_text(call);
  const Value* chars = call.arguments.get(0, "chars");
  const bool given = chars != nullptr && !chars->is_none();
  if (given && !chars->is_string()) call.fail("chars must be a str");
  return strip_text(call.runtime, text, given ? chars : nullptr, {});
}

Value string_filter(const FilterCall& call) {
  call.expect({});
  if (call.name == "safe") return Value::markup(input_text(call));
  return call.value.is_markup() ? call.value : Value(input_text(call));
}

Value replace_filter(const FilterCall& call) {
  call.expect({"old", "new", "count"}, 2);
  const Value* count = call.arguments.get(2, "count");
  const bool all = count == nullptr || count->is_none();
  return replace_text(call.runtime,
                      input_text(call),
                      call.arguments.text_or(call.runtime, 0, "old", ""),
                      call.arguments.text_or(call.runtime, 1, "new", ""),
                      all ? -1 : call.arguments.integer_or(call.runtime, 2, "count", -1));
}

Value indent_filter(const FilterCall& call) {
  call.expect({"width", "first", "blank"});
  const Value* width = call.arguments.get(0, "width");
  const bool by_text = width != nullptr && width->is_string();
  const int64_t spaces = by_text ? 0 : call.arguments.integer_or(call.runtime, 0, "width", 4);
  if (spaces > 1000) call.fail("width too large");
  const std::string indent =
      by_text ? width->string()
              : std::string(static_cast<size_t>(std::max<int64_t>(0, spaces)), ' ');
  call.runtime.require_defined(call.value);
  if (!call.value.is_string()) call.fail("a str is needed, not " + type_name(call.value));
  const bool blank = call.arguments.flag_or(2, "blank", false);
  const std::string text = input_text(call) + "\n";
  TextBuilder out(call.runtime);
  if (call.arguments.flag_or(1, "first", false)) out.add(indent);
  bool first = true;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = take_line(rest);
    if (!std::exchange(first, false)) {
      out.add('\n');
      if (blank || !line.empty()) out.add(indent);
    }
    out.add(line);
  }
  return out.take();
}

Value default_filter(const FilterCall& call) {
  call.expect({"default_value", "boolean"});
  const bool missing = call.value.is_undefined() ||
                       (call.arguments.flag_or(1, "boolean", false) && !truthy(call.value));
  if (!missing) return call.value;
  const Value* fallback = call.arguments.get(0, "default_value");
  return fallback == nullptr ? Value("") : *fallback;
}

std::string number_digits(std::string_view text) {
  std::string digits(strip_right(strip_left(text)));
  if (digits.starts_with('+')) digits.erase(0, 1);
  return digits;
}

std::optional<int64_t> parse_integer(std::string_view text, int base) {
  const std::string digits = number_digits(text);
  int64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto [parsed, error] = std::from_chars(digits.data(), end, value, base);
  const bool valid = error == std::errc() && parsed == end && !digits.empty();
  return valid ? std::optional<int64_t>(value) : std::nullopt;
}

std::optional<double> parse_float(std::string_view text) {
  const std::string digits = number_digits(text);
  double value = 0;
  const char* end = digits.data() + digits.size();
  const auto [parsed, error] = std::from_chars(digits.data(), end, value);
  const bool valid = error == std::errc() && parsed == end && !digits.empty();
  return valid ? std::optional<double>(value) : std::nullopt;
}

std::optional<int64_t> truncated(double value) {
  if (!(value > -9e18 && value < 9e18)) return std::nullopt;
  return static_cast<int64_t>(value);
}

Value int_filter(const FilterCall& call) {
  call.expect({"default", "base"});
  call.runtime.require_defined(call.value);
  std::optional<int64_t> result;
  if (call.value.is_string()) {
    call.runtime.scan(call.value.string().size());
    const int64_t base = call.arguments.integer_or(call.runtime, 1, "base", 10);
    if (base < 2 || base > 36) call.fail("unsupported base");
    result = parse_integer(call.value.string(), static_cast<int>(base));
    if (!result) {
      if (const auto number = parse_float(call.value.string())) result = truncated(*number);
    }
  } else if (call.value.is_integral()) {
    result = call.value.integer();
  } else if (call.value.is_number()) {
    result = truncated(call.value.number());
  }
  if (result) return *result;
  const Value* fallback = call.arguments.get(0, "default");
  return fallback == nullptr ? Value(int64_t{0}) : *fallback;
}

Value float_filter(const FilterCall& call) {
  call.expect({"default"});
  call.runtime.require_defined(call.value);
  if (call.value.is_number()) return call.value.number();
  if (call.value.is_string()) {
    call.runtime.scan(call.value.string().size());
    if (const auto number = parse_float(call.value.string())) return *number;
  }
  const Value* fallback = call.arguments.get(0, "default");
  return fallback == nullptr ? Value(0.0) : *fallback;
}

const Value& require_number(const FilterCall& call) {
  call.runtime.require_defined(call.value);
  if (!call.value.is_number()) call.fail("a number is needed, not " + type_name(call.value));
  return call.value;
}

Value abs_filter(const FilterCall& call) {
  call.expect({});
  const Value& value = require_number(call);
  if (!value.is_integral()) return std::abs(value.number());
  return value.integer() < 0 ? unary(call.runtime, "-", value) : Value(value.integer());
}

Value round_filter(const FilterCall& call) {
  call.expect({"precision", "method"});
  const Value& value = require_number(call);
  const int64_t precision = call.arguments.integer_or(call.runtime, 0, "precision", 0);
  const std::string method = call.arguments.text_or(call.runtime, 1, "method", "common");
  if (precision < 0 || precision > 300) call.fail("unsupported precision");
  if (method == "common") {
    if (value.is_integral()) return value.integer();
    if (!std::isfinite(value.number())) return value;
    return *parse_float(fmt::format("{:.{}f}", value.number(), precision));
  }
  if (method != "ceil" && method != "floor") call.fail("method must be common, ceil or floor");
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = value.number() * scale;
  return (method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale;
}

Value tojson_filter(const FilterCall& call) {
  call.expect({"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ascii = call.arguments.flag_or(0, "ensure_ascii", false);
  style.sort_keys = call.arguments.flag_or(3, "sort_keys", false);
  if (const Value* indent = call.arguments.get(1, "indent"); indent && !indent->is_none()) {
    style.multi_line = true;
    style.item_separator = ",";
    const int64_t spaces =
        indent->is_string() ? 0 : call.arguments.integer_or(call.runtime, 1, "indent", 0);
    if (spaces > 1000) call.fail("indent too large");
    style.indent = indent->is_string()
                       ? indent->string()
                       : std::string(static_cast<size_t>(std::max<int64_t>(0, spaces)), ' ');
  }
  if (const Value* pair = call.arguments.get(2, "separators"); pair && !pair->is_none()) {
    const Elements parts(call.runtime, *pair);
    if (parts.size() != 2) call.fail("separators must be a pair");
    style.item_separator = to_text(call.runtime, parts[0]);
    style.key_separator = to_text(call.runtime, parts[1]);
  }
  return to_json(call.runtime, call.value, style);
}

Value format_filter(const FilterCall& call) {
  const std::string format = input_text(call);
  const Arguments& arguments = call.arguments;
  if (!arguments.named.empty()) {
    if (!arguments.positional.empty()) call.fail("positional and keyword arguments together");
    Dict dict;
    for (const auto& [name, value] : arguments.named) dict.set(call.runtime, Value(name), value);
    return percent_format(call.runtime, format, make_dict(call.runtime, std::move(dict)));
  }
  ListBuilder values(call.runtime);
  values.add_all(arguments.positional);
  return percent_format(call.runtime, format, jinja::make_tuple(call.runtime, values.take()));
}

constexpr std::array<std::pair<std::string_view, Filter>, 17> kFilters{{
    {"abs", abs_filter},
    {"capitalize", case_filter},
    {"d", default_filter},
    {"default", default_filter},
    {"float", float_filter},
    {"format", format_filter},
    {"indent", indent_filter},
    {"int", int_filter},
    {"lower", case_filter},
    {"replace", replace_filter},
    {"round", round_filter},
    {"safe", string_filter},
    {"string", string_filter},
    {"title", title_filter},
    {"tojson", tojson_filter},
    {"trim", trim_filter},
    {"upper", case_filter},
}};

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

void FilterCall::fail(const std::string& what) const {
  runtime.fail("filter '" + std::string(name) + "': " + what);
}

Value apply_filter(Runtime& runtime,
                   std::string_view name,
                   const Value& value,
                   const Arguments& arguments) {
  runtime.step();
  const auto it = std::ranges::find(kFilters, name, [](const auto& f) { return f.first; });
  const Filter filter = it != kFilters.end() ? it->second : find_sequence_filter(name);
  if (filter == nullptr) runtime.fail("unsupported filter '" + std::string(name) + "'");
  return filter({runtime, name, value, arguments});
}

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
