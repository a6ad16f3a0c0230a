#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "text/jinja/runtime.h"
#include "text/jinja/text.h"

namespace dms::text::jinja {
namespace {

class Writer {
 public:
  Writer(Runtime& runtime, const JsonStyle& style)
      : runtime_(runtime), style_(style), out_(runtime) {}

  std::string write(const Value& value) {
    append(value, 1);
    return out_.take();
  }

 private:
  void append(const Value& value, int level) {
    runtime_.step();
    if (value.is_none()) {
      out_.add("null");
    } else if (const bool* flag = value.get<bool>()) {
      out_.add(*flag ? "true" : "false");
    } else if (value.is_number()) {
      out_.add(number_text(value));
    } else if (value.is_string()) {
      append_string(value.string());
    } else if (const Sequence* list = value.sequence(); list != nullptr && is_json_list(*list)) {
      append_list(*list, level);
    } else if (const Dict* dict = value.dict()) {
      append_dict(*dict, level);
    } else {
      runtime_.require_defined(value);
      runtime_.fail("tojson: a " + type_name(value) + " is not JSON");
    }
  }

  static bool is_json_list(const Sequence& sequence) {
    return sequence.kind == Sequence::Kind::kList || sequence.kind == Sequence::Kind::kTuple;
  }

  static std::string number_text(const Value& value) {
    if (value.is_integral()) return std::to_string(value.integer());
    const double number = value.number();
    if (std::isnan(number)) return "NaN";
    if (std::isinf(number)) return number > 0 ? "Infinity" : "-Infinity";
    return float_text(number);
  }

  void break_line(int level) {
    if (!style_.multi_line) return;
    out_.add('\n');
    out_.repeat(style_.indent, level);
  }

  void append_list(const Sequence& list, int level) {
    out_.add('[');
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out_.add(style_.item_separator);
      break_line(level);
      append(list.items[i], level + 1);
    }
    if (!list.items.empty()) break_line(level - 1);
    out_.add(']');
  }

  void append_dict(const Dict& dict, int level) {
    std::vector<const std::pair<Value, Value>*> entries;
    runtime_.make(dict.entries.size() * sizeof(entries[0]));
    for (const auto& entry : dict.entries) entries.push_back(&entry);
    if (style_.sort_keys) {
      std::ranges::stable_sort(entries, [&](const auto* a, const auto* b) {
        const std::optional<int> order = compare(runtime_, a->first, b->first);
        if (!order) runtime_.fail("tojson: keys of different types cannot be sorted");
        return *order < 0;
      });
    }
    out_.add('{');
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_.add(style_.item_separator);
      break_line(level);
      append_string(key_text(entries[i]->first));
      out_.add(style_.key_separator);
      append(entries[i]->second, level + 1);
    }
    if (!entries.empty()) break_line(level - 1);
    out_.add('}');
  }

  std::string key_text(const Value& key) {
    if (key.is_string()) return key.string();
    if (key.is_none()) return "null";
    if (const bool* flag = key.get<bool>()) return *flag ? "true" : "false";
    if (key.is_number()) return number_text(key);
    runtime_.fail("tojson: a " + type_name(key) + " cannot be a key");
  }

  void append_string(std::string_view text) {
    runtime_.scan(text.size());
    out_.add('"');
    for (const std::string_view character : characters(text)) append_character(character);
    out_.add('"');
  }

  void append_character(std::string_view character) {
    constexpr std::string_view kShort = "\"\\\n\r\t\b\f";
    constexpr std::string_view kLetters = "\"\\nrtbf";
    const char32_t c = decode_character(character);
    if (const size_t known = kShort.find(character[0]); known != std::string_view::npos) {
      out_.add('\\');
      out_.add(kLetters[known]);
    } else if (c < 0x20 || (style_.ascii && c > 0x7E && c < 0x10000)) {
      out_.add(fmt::format("\\u{:04x}", static_cast<uint32_t>(c)));
    } else if (style_.ascii && c >= 0x10000) {
      const uint32_t rest = static_cast<uint32_t>(c) - 0x10000;
      out_.add(fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF)));
    } else {
      out_.add(character);
    }
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  TextBuilder out_;
};

template <class Json>
Value number_of(const Json& json) {
  if (json.is_number_float()) return json.template get<double>();
  const bool is_large =
      json.is_number_unsigned() &&
      json.template get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (is_large) return static_cast<double>(json.template get<uint64_t>());
  return json.template get<int64_t>();
}

}  // namespace

template <class Json>
Value from_json(Budget& budget, const Json& json, int depth) {
  if (depth >= kMaxValueDepth) fail_depth(budget);
  if (json.is_null()) return None{};
  if (json.is_boolean()) return json.template get<bool>();
  if (json.is_number()) return number_of(json);
  if (json.is_string()) return make_text(budget, json.template get_ref<const std::string&>());
  if (json.is_array()) {
    ListBuilder items(budget);
    for (const Json& item : json) items.add(from_json(budget, item, depth + 1));
    return make_list(budget, items.take());
  }
  Dict dict;
  for (const auto& [key, value] : json.items()) {
    dict.set(budget, Value(key), from_json(budget, value, depth + 1));
  }
  return make_dict(budget, std::move(dict));
}

template <class Json>
size_t bytes_of(const Json& json, int depth) {
  constexpr size_t kNodeBytes = 64;
  size_t bytes = kNodeBytes;
  if (json.is_string()) bytes += json.template get_ref<const std::string&>().size();
  if (!json.is_structured() || depth >= kMaxValueDepth) return bytes;
  for (const auto& [key, value] : json.items()) bytes += key.size() + bytes_of(value, depth + 1);
  return bytes;
}

template Value from_json(Budget&, const nlohmann::json&, int);
template Value from_json(Budget&, const nlohmann::ordered_json&, int);
template size_t bytes_of(const nlohmann::json&, int);
template size_t bytes_of(const nlohmann::ordered_json&, int);

std::string to_json(Runtime& runtime, const Value& value, const JsonStyle& style) {
  return Writer(runtime, style).write(value);
}

}  // namespace dms::text::jinja
