#include "text/jinja_string_methods.h"

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <utility>

#include "text/jinja_operators.h"
#include "text/jinja_text.h"

namespace dms::text::jinja {
namespace {

constexpr int64_t kAll = std::numeric_limits<int64_t>::max();

struct Call {
  Runtime& runtime;
  const std::string& text;
  std::string_view name;
  const Arguments& arguments;

  [[noreturn]] void fail(const std::string& what) const {
    runtime.fail(std::string(name) + "(): " + what);
  }
  const std::string& string_at(size_t position, std::string_view argument) const {
    const Value* value = arguments.get(position, argument);
    if (value == nullptr) fail("missing argument '" + std::string(argument) + "'");
    runtime.require_defined(*value);
    if (!value->is_string()) fail("a str is needed, not " + type_name(*value));
    return value->string();
  }
  bool has(size_t position, std::string_view argument) const {
    const Value* value = arguments.get(position, argument);
    return value != nullptr && !value->is_none();
  }
};

Value strip_call(const Call& call) {
  call.arguments.expect(call.runtime, call.name, {"chars"});
  std::string_view chars;
  const std::string_view* set = nullptr;
  if (call.has(0, "chars")) {
    chars = call.string_at(0, "chars");
    set = &chars;
  }
  std::string_view text = call.text;
  if (call.name != "rstrip") text = strip_left(text, set);
  if (call.name != "lstrip") text = strip_right(text, set);
  return text;
}

std::vector<Value> split_on_space(std::string_view text, int64_t limit) {
  std::vector<Value> parts;
  for (text = strip_left(text); !text.empty(); text = strip_left(text)) {
    if (std::cmp_greater_equal(parts.size(), limit)) {
      parts.emplace_back(strip_right(text));
      break;
    }
    size_t end = 0;
    while (end < text.size() && !is_space(text.substr(end, character_bytes(text.substr(end))))) {
      end += character_bytes(text.substr(end));
    }
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return parts;
}

std::vector<Value> split_on(std::string_view text, std::string_view separator, int64_t limit) {
  std::vector<Value> parts;
  size_t at = 0;
  while (std::cmp_less(parts.size(), limit) &&
         (at = text.find(separator)) != std::string_view::npos) {
    parts.emplace_back(text.substr(0, at));
    text.remove_prefix(at + separator.size());
  }
  parts.emplace_back(text);
  return parts;
}

std::vector<Value> split_from_right(std::string_view text,
                                    std::string_view separator,
                                    int64_t limit) {
  std::vector<Value> parts;
  size_t at = 0;
  while (std::cmp_less(parts.size(), limit) &&
         (at = text.rfind(separator)) != std::string_view::npos) {
    parts.emplace_back(text.substr(at + separator.size()));
    text = text.substr(0, at);
  }
  parts.emplace_back(text);
  std::ranges::reverse(parts);
  return parts;
}

Value split_call(const Call& call) {
  call.arguments.expect(call.runtime, call.name, {"sep", "maxsplit"});
  int64_t limit = call.arguments.integer_or(call.runtime, 1, "maxsplit", -1);
  if (limit < 0) limit = kAll;
  call.runtime.step(static_cast<int64_t>(call.text.size() / 8));
  if (!call.has(0, "sep")) {
    if (call.name == "rsplit" && limit != kAll) call.fail("unsupported without a separator");
    return make_list(split_on_space(call.text, limit));
  }
  const std::string& separator = call.string_at(0, "sep");
  if (separator.empty()) call.fail("empty separator");
  call.runtime.made(call.text.size() / separator.size() * sizeof(Value));
  return make_list(call.name == "split" ? split_on(call.text, separator, limit)
                                        : split_from_right(call.text, separator, limit));
}

Value lines_call(const Call& call) {
  call.arguments.expect(call.runtime, call.name, {"keepends"});
  std::vector<Value> lines;
  for (const std::string_view line :
       split_lines(call.text, call.arguments.flag_or(0, "keepends", false))) {
    lines.emplace_back(line);
  }
  return make_list(std::move(lines));
}

Value affix_call(const Call& call) {
  call.arguments.expect(call.runtime, call.name, {"affix"}, 1);
  const auto matches = [&](const Value& affix) {
    if (!affix.is_string()) call.fail("a str is needed, not " + type_name(affix));
    return call.name == "startswith" ? call.text.starts_with(affix.string())
                                     : call.text.ends_with(affix.string());
  };
  const Value& affix = *call.arguments.get(0, "affix");
  call.runtime.require_defined(affix);
  const Sequence* tuple = affix.sequence();
  if (tuple == nullptr || tuple->kind != Sequence::Kind::kTuple) return matches(affix);
  return std::ranges::any_of(tuple->items, matches);
}

Value without_affix_call(const Call& call) {
  call.arguments.expect(call.runtime, call.name, {"affix"}, 1);
  const std::string& affix = call.string_at(0, "affix");
  std::string_view text = call.text;
  if (call.name == "removeprefix" && text.starts_with(affix)) text.remove_prefix(affix.size());
  if (call.name == "removesuffix" && text.ends_with(affix)) text.remove_suffix(affix.size());
  return text;
}

Value case_call(const Call& call) {
  call.arguments.expect(call.runtime, call.name, {});
  if (call.name == "upper") return to_upper(call.text);
  if (call.name == "lower") return to_lower(call.text);
  if (call.name == "capitalize") return capitalize(call.text);
  std::string out;
  bool in_word = false;
  for (const std::string_view character : characters(call.text)) {
    out += in_word ? to_lower(character) : to_upper(character);
    in_word = is_upper(character) || is_lower(character);
  }
  return out;
}

Value replace_call(const Call& call) {
  call.arguments.expect(call.runtime, call.name, {"old", "new", "count"}, 2);
  return replace_text(call.runtime,
                      call.text,
                      call.string_at(0, "old"),
                      call.string_at(1, "new"),
                      call.arguments.integer_or(call.runtime, 2, "count", -1));
}

Value find_call(const Call& call) {
  call.arguments.expect(call.runtime, call.name, {"sub"}, 1);
  const std::string& wanted = call.string_at(0, "sub");
  const bool from_right = call.name == "rfind" || call.name == "rindex";
  const size_t at = from_right ? call.text.rfind(wanted) : call.text.find(wanted);
  if (at != std::string::npos) {
    return count_characters(std::string_view(call.text).substr(0, at));
  }
  if (call.name == "index" || call.name == "rindex") call.fail("substring not found");
  return int64_t{-1};
}

Value count_call(const Call& call) {
  call.arguments.expect(call.runtime, call.name, {"sub"}, 1);
  const std::string& wanted = call.string_at(0, "sub");
  if (wanted.empty()) return count_characters(call.text) + 1;
  return static_cast<int64_t>(split_on(call.text, wanted, kAll).size()) - 1;
}

Value join_call(const Call& call) {
  call.arguments.expect(call.runtime, call.name, {"iterable"}, 1);
  std::string out;
  bool first = true;
  const Value& parts = *call.arguments.get(0, "iterable");
  for (const Value& part : elements(call.runtime, parts)) {
    call.runtime.require_defined(part);
    if (!part.is_string()) call.fail("a str is needed, not " + type_name(part));
    call.runtime.made(part.string().size() + call.text.size());
    if (!std::exchange(first, false)) out += call.text;
    out += part.string();
  }
  return out;
}

Value partition_call(const Call& call) {
  call.arguments.expect(call.runtime, call.name, {"sep"}, 1);
  const std::string& separator = call.string_at(0, "sep");
  if (separator.empty()) call.fail("empty separator");
  const bool from_right = call.name == "rpartition";
  const size_t at = from_right ? call.text.rfind(separator) : call.text.find(separator);
  const std::string_view text = call.text;
  if (at == std::string::npos) {
    return from_right ? make_tuple({"", "", text}) : make_tuple({text, "", ""});
  }
  return make_tuple({text.substr(0, at), separator, text.substr(at + separator.size())});
}

bool is_ascii_digit(std::string_view c) { return c.size() == 1 && c[0] >= '0' && c[0] <= '9'; }
bool is_letter(std::string_view c) { return is_upper(c) || is_lower(c); }

Value class_call(const Call& call) {
  call.arguments.expect(call.runtime, call.name, {});
  if (call.name == "islower") return all_lower(call.text);
  if (call.name == "isupper") return all_upper(call.text);
  const std::vector<std::string_view> parts = characters(call.text);
  if (call.name == "isascii") {
    return std::ranges::all_of(parts, [](std::string_view c) { return decode_character(c) < 128; });
  }
  if (parts.empty()) return false;
  const auto holds = [&](std::string_view c) {
    if (call.name == "isspace") return is_space(c);
    if (decode_character(c) >= 128 && !is_letter(c)) call.fail("unsupported on this text");
    if (call.name == "isalpha") return is_letter(c);
    return is_ascii_digit(c) || (call.name == "isalnum" && is_letter(c));
  };
  return std::ranges::all_of(parts, holds);
}

Value pad_call(const Call& call) {
  call.arguments.expect(call.runtime, call.name, {"width", "fillchar"}, 1);
  const int64_t width = call.arguments.integer_or(call.runtime, 0, "width", 0);
  const int64_t missing = std::max<int64_t>(0, width - count_characters(call.text));
  call.runtime.made(static_cast<size_t>(missing));
  const std::string fill = call.has(1, "fillchar") ? call.string_at(1, "fillchar") : " ";
  if (fill.size() != 1) call.fail("unsupported fill character");
  if (call.name == "zfill") {
    const bool sign = call.text.starts_with('-') || call.text.starts_with('+');
    return call.text.substr(0, sign) + std::string(static_cast<size_t>(missing), '0') +
           call.text.substr(sign);
  }
  // center puts the odd space to the left when the width is odd, as CPython does.
  int64_t left = missing / 2 + (missing & width & 1);
  if (call.name == "ljust") left = 0;
  if (call.name == "rjust") left = missing;
  return std::string(static_cast<size_t>(left), fill[0]) + call.text +
         std::string(static_cast<size_t>(missing - left), fill[0]);
}

/// "{}", "{0}" and "{name}" without format specifications.
Value format_call(const Call& call) {
  std::string out;
  size_t automatic = 0;
  const std::string_view text = call.text;
  for (size_t i = 0; i < text.size(); ++i) {
    const std::string_view two = text.substr(i, 2);
    if (two == "{{" || two == "}}") {
      out += text[i++];
    } else if (text[i] == '}') {
      call.fail("single '}'");
    } else if (text[i] != '{') {
      out += text[i];
    } else {
      const size_t end = std::min(text.find('}', i), text.size());
      if (end == text.size()) call.fail("expected '}'");
      const std::string field(text.substr(i + 1, end - i - 1));
      const bool number = !field.empty() && field.size() < 4 &&
                          std::ranges::all_of(field, [](char c) { return c >= '0' && c <= '9'; });
      if (field.find_first_of(":!.[{") != std::string::npos) {
        call.fail("unsupported field '" + field + "'");
      }
      const bool by_position = field.empty() || number;
      const size_t position = field.empty() ? automatic++ : number ? std::stoul(field) : 0;
      const Value* value =
          by_position ? call.arguments.get(position, "\n") : call.arguments.find(field);
      if (value == nullptr) call.fail("missing value for '" + field + "'");
      out += to_text(call.runtime, *value);
      i = end;
    }
  }
  return out;
}

using Function = Value (*)(const Call&);

constexpr std::array<std::pair<std::string_view, Function>, 37> kMethods{{
    {"strip", strip_call},
    {"lstrip", strip_call},
    {"rstrip", strip_call},
    {"split", split_call},
    {"rsplit", split_call},
    {"splitlines", lines_call},
    {"startswith", affix_call},
    {"endswith", affix_call},
    {"removeprefix", without_affix_call},
    {"removesuffix", without_affix_call},
    {"upper", case_call},
    {"lower", case_call},
    {"capitalize", case_call},
    {"title", case_call},
    {"replace", replace_call},
    {"find", find_call},
    {"rfind", find_call},
    {"index", find_call},
    {"rindex", find_call},
    {"count", count_call},
    {"join", join_call},
    {"partition", partition_call},
    {"rpartition", partition_call},
    {"isspace", class_call},
    {"isalpha", class_call},
    {"isalnum", class_call},
    {"isdigit", class_call},
    {"isdecimal", class_call},
    {"isnumeric", class_call},
    {"isascii", class_call},
    {"islower", class_call},
    {"isupper", class_call},
    {"center", pad_call},
    {"ljust", pad_call},
    {"rjust", pad_call},
    {"zfill", pad_call},
    {"format", format_call},
}};

constexpr std::array<std::string_view, 9> kUnsupported{"casefold",
                                                       "encode",
                                                       "expandtabs",
                                                       "format_map",
                                                       "isidentifier",
                                                       "isprintable",
                                                       "istitle",
                                                       "swapcase",
                                                       "translate"};

bool all_of_case(std::string_view text,
                 bool (*wanted)(std::string_view),
                 bool (*other)(std::string_view)) {
  bool any = false;
  for (const std::string_view character : characters(text)) {
    if (other(character)) return false;
    any |= wanted(character);
  }
  return any;
}

}  // namespace

bool is_string_method(std::string_view name) {
  return std::ranges::any_of(kMethods, [&](const auto& m) { return m.first == name; }) ||
         std::ranges::find(kUnsupported, name) != kUnsupported.end();
}

Value call_string_method(Runtime& runtime,
                         const std::string& text,
                         std::string_view name,
                         const Arguments& arguments) {
  runtime.step();
  runtime.made(text.size());
  const auto it = std::ranges::find(kMethods, name, [](const auto& m) { return m.first; });
  if (it == kMethods.end()) runtime.fail("unsupported method '" + std::string(name) + "' of a str");
  return it->second({runtime, text, name, arguments});
}

std::string replace_text(Runtime& runtime,
                         std::string_view text,
                         std::string_view from,
                         std::string_view to,
                         int64_t count) {
  if (count < 0) count = kAll;
  std::string out;
  const auto put = [&] {
    runtime.made(to.size());
    out += to;
    --count;
  };
  if (from.empty()) {
    if (count > 0) put();
    for (const std::string_view character : characters(text)) {
      out += character;
      if (count > 0) put();
    }
    return out;
  }
  for (size_t at = 0; count > 0 && (at = text.find(from)) != std::string_view::npos;) {
    out += text.substr(0, at);
    put();
    text.remove_prefix(at + from.size());
  }
  return out += text;
}

bool all_lower(std::string_view text) { return all_of_case(text, is_lower, is_upper); }
bool all_upper(std::string_view text) { return all_of_case(text, is_upper, is_lower); }

}  // namespace dms::text::jinja
