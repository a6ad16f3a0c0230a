// Python's methods of str (declared in builtins.h).

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <optional>
#include <utility>

#include "text/jinja/builtins.h"
#include "text/jinja/text.h"

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
    runtime.scan(value->string().size());
    return value->string();
  }
  bool has(size_t position, std::string_view argument) const {
    const Value* value = arguments.get(position, argument);
    return value != nullptr && !value->is_none();
  }
};

Value strip_call(const Call& call) {
  call.arguments.expect(call.runtime, call.name, {"chars"});
  const bool given = call.has(0, "chars");
  if (given) call.string_at(0, "chars");
  return strip_text(call.runtime,
                    call.text,
                    given ? call.arguments.get(0, "chars") : nullptr,
                    {.left = call.name != "rstrip", .right = call.name != "lstrip"});
}

void split_on_space(ListBuilder& parts, std::string_view text, int64_t limit) {
  for (text = strip_left(text); !text.empty(); text = strip_left(text)) {
    if (std::cmp_greater_equal(parts.size(), limit)) {
      parts.add_text(strip_right(text));
      break;
    }
    size_t end = 0;
    while (end < text.size() && !is_space(text.substr(end, character_bytes(text.substr(end))))) {
      end += character_bytes(text.substr(end));
    }
    parts.add_text(text.substr(0, end));
    text.remove_prefix(end);
  }
}

void split_on(ListBuilder& parts,
              std::string_view text,
              std::string_view separator,
              int64_t limit) {
  size_t from = 0;
  while (std::cmp_less(parts.size(), limit)) {
    const size_t at = find_text(text, separator, from);
    if (at == std::string_view::npos) break;
    parts.add_text(text.substr(from, at - from));
    from = at + separator.size();
  }
  parts.add_text(text.substr(from));
}

/// Cuts the text read backwards, and turns every part and their order round.
void split_from_right(ListBuilder& parts,
                      std::string_view text,
                      std::string_view separator,
                      int64_t limit) {
  const std::string backwards(text.rbegin(), text.rend());
  const std::string separator_backwards(separator.rbegin(), separator.rend());
  size_t from = 0;
  while (std::cmp_less(parts.size(), limit)) {
    const size_t at = find_text(backwards, separator_backwards, from);
    if (at == std::string_view::npos) break;
    parts.add_text(text.substr(text.size() - at, at - from));
    from = at + separator.size();
  }
  parts.add_text(text.substr(0, text.size() - from));
  parts.reverse();
}

Value split_call(const Call& call) {
  call.arguments.expect(call.runtime, call.name, {"sep", "maxsplit"});
  int64_t limit = call.arguments.integer_or(call.runtime, 1, "maxsplit", -1);
  if (limit < 0) limit = kAll;
  ListBuilder parts(call.runtime);
  if (!call.has(0, "sep")) {
    if (call.name == "rsplit" && limit != kAll) call.fail("unsupported without a separator");
    split_on_space(parts, call.text, limit);
    return make_list(call.runtime, parts.take());
  }
  const std::string& separator = call.string_at(0, "sep");
  if (separator.empty()) call.fail("empty separator");
  (call.name == "split" ? split_on : split_from_right)(parts, call.text, separator, limit);
  return make_list(call.runtime, parts.take());
}

Value lines_call(const Call& call) {
  call.arguments.expect(call.runtime, call.name, {"keepends"});
  const bool keep_ends = call.arguments.flag_or(0, "keepends", false);
  ListBuilder lines(call.runtime);
  for (std::string_view rest = call.text; !rest.empty();) {
    lines.add_text(take_line(rest, keep_ends));
  }
  return make_list(call.runtime, lines.take());
}

Value affix_call(const Call& call) {
  call.arguments.expect(call.runtime, call.name, {"affix"}, 1);
  const auto matches = [&](const Value& affix) {
    if (!affix.is_string()) call.fail("a str is needed, not " + type_name(affix));
    call.runtime.step();
    call.runtime.scan(std::min(affix.string().size(), call.text.size()));
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
  return make_text(call.runtime, text);
}

Value case_call(const Call& call) {
  call.arguments.expect(call.runtime, call.name, {});
  call.runtime.make(kObjectBytes + call.text.size());
  if (call.name == "upper") return to_upper(call.text);
  if (call.name == "lower") return to_lower(call.text);
  if (call.name == "capitalize") return capitalize(call.text);
  TextBuilder out(call.runtime);
  bool in_word = false;
  for (const std::string_view character : characters(call.text)) {
    out.add(in_word ? to_lower(character) : to_upper(character));
    in_word = is_upper(character) || is_lower(character);
  }
  return out.take();
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
  const size_t at = from_right ? find_last_text(call.text, wanted) : find_text(call.text, wanted);
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
  int64_t count = 0;
  for (size_t at = find_text(call.text, wanted); at != std::string::npos; ++count) {
    at = find_text(call.text, wanted, at + wanted.size());
  }
  return count;
}

Value join_call(const Call& call) {
  call.arguments.expect(call.runtime, call.name, {"iterable"}, 1);
  TextBuilder out(call.runtime);
  bool first = true;
  const Elements parts(call.runtime, *call.arguments.get(0, "iterable"));
  for (const Value& part : parts) {
    call.runtime.require_defined(part);
    if (!part.is_string()) call.fail("a str is needed, not " + type_name(part));
    if (!std::exchange(first, false)) out.add(call.text);
    out.add(part.string());
  }
  return out.take();
}

Value partition_call(const Call& call) {
  call.arguments.expect(call.runtime, call.name, {"sep"}, 1);
  const std::string& separator = call.string_at(0, "sep");
  if (separator.empty()) call.fail("empty separator");
  const bool from_right = call.name == "rpartition";
  const size_t at =
      from_right ? find_last_text(call.text, separator) : find_text(call.text, separator);
  const std::string_view text = call.text;
  std::array<std::string_view, 3> parts{text, "", ""};
  if (at != std::string::npos) {
    parts = {text.substr(0, at), separator, text.substr(at + separator.size())};
  } else if (from_right) {
    parts = {"", "", text};
  }
  ListBuilder items(call.runtime);
  for (const std::string_view part : parts) items.add_text(part);
  return jinja::make_tuple(call.runtime, items.take());
}

bool is_ascii_digit(std::string_view c) { return c.size() == 1 && c[0] >= '0' && c[0] <= '9'; }
bool is_letter(std::string_view c) { return is_upper(c) || is_lower(c); }

Value class_call(const Call& call) {
  call.arguments.expect(call.runtime, call.name, {});
  if (call.name == "islower") return all_lower(call.text);
  if (call.name == "isupper") return all_upper(call.text);
  const Characters parts = characters(call.text);
  if (call.name == "isascii") {
    return std::ranges::all_of(parts, [](std::string_view c) { return decode_character(c) < 128; });
  }
  if (call.text.empty()) return false;
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
  const std::string fill = call.has(1, "fillchar") ? call.string_at(1, "fillchar") : " ";
  if (fill.size() != 1) call.fail("unsupported fill character");
  TextBuilder out(call.runtime);
  if (call.name == "zfill") {
    const std::string_view text = call.text;
    const size_t sign = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
    out.add(text.substr(0, sign));
    out.repeat("0", missing);
    out.add(text.substr(sign));
    return out.take();
  }
  // center puts the odd space to the left when the width is odd, as CPython does.
  int64_t left = missing / 2 + (missing & width & 1);
  if (call.name == "ljust") left = 0;
  if (call.name == "rjust") left = missing;
  out.repeat(fill, left);
  out.add(call.text);
  out.repeat(fill, missing - left);
  return out.take();
}

Value format_call(const Call& call) {
  return brace_format(call.runtime, call.text, call.arguments);
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
  runtime.scan(text.size());
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
  TextBuilder out(runtime);
  if (from.empty()) {
    if (count-- > 0) out.add(to);
    for (const std::string_view character : characters(text)) {
      out.add(character);
      if (count-- > 0) out.add(to);
    }
    return out.take();
  }
  size_t start = 0;
  for (; count > 0; --count) {
    const size_t at = find_text(text, from, start);
    if (at == std::string_view::npos) break;
    out.add(text.substr(start, at - start));
    out.add(to);
    start = at + from.size();
  }
  out.add(text.substr(start));
  return out.take();
}

Value strip_text(Runtime& runtime, std::string_view text, const Value* chars, StripSides sides) {
  constexpr int64_t kWideSetSteps = 10'000;  // a bit for every code point
  std::optional<CharacterSet> set;
  if (chars != nullptr) {
    runtime.scan(chars->string().size());
    set.emplace(chars->string());
    if (!set->is_ascii()) runtime.step(kWideSetSteps);
  }
  const CharacterSet* stripped = set ? &*set : nullptr;
  if (sides.left) text = strip_left(text, stripped);
  if (sides.right) text = strip_right(text, stripped);
  return make_text(runtime, text);
}

bool all_lower(std::string_view text) { return all_of_case(text, is_lower, is_upper); }
bool all_upper(std::string_view text) { return all_of_case(text, is_upper, is_lower); }

}  // namespace dms::text::jinja
