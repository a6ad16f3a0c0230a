// Python's "format % values" and str.format() (declared in builtins.h).

#include <algorithm>

#include <fmt/format.h>

#include "text/jinja/builtins.h"
#include "text/jinja/text.h"

namespace dms::text::jinja {
namespace {

constexpr int kMaxWidth = 1000;

struct Spec {
  bool left = false, zero = false, plus = false;
  int width = 0;
  int precision = -1;
  char type = 's';
};

class Formatter {
 public:
  Formatter(Runtime& runtime, std::string_view format, const Value& values)
      : runtime_(runtime), format_(format), values_(values) {}

  std::string run() {
    runtime_.scan(format_.size());
    TextBuilder out(runtime_);
    while (at_ < format_.size()) {
      const char c = format_[at_++];
      if (c != '%') {
        out.add(c);
      } else if (at_ < format_.size() && format_[at_] == '%') {
        out.add(format_[at_++]);
      } else {
        out.add(padded_value());
      }
    }
    // Python lets anything that could be a mapping go unused.
    const bool could_be_mapping = values_.is_undefined() || values_.dict() != nullptr ||
                                  (values_.sequence() != nullptr && tuple() == nullptr);
    if (!could_be_mapping && used_ < available()) {
      runtime_.fail("'%': not all values were used");
    }
    return out.take();
  }

 private:
  const Sequence* tuple() const {
    const Sequence* sequence = values_.sequence();
    return sequence != nullptr && sequence->kind == Sequence::Kind::kTuple ? sequence : nullptr;
  }
  size_t available() const { return tuple() == nullptr ? 1 : tuple()->items.size(); }

  Value value_of_field() {
    if (at_ < format_.size() && format_[at_] == '(') {
      const size_t end = format_.find(')', at_);
      const Dict* dict = values_.dict();
      if (end == std::string_view::npos || dict == nullptr) runtime_.fail("'%': bad field name");
      const Value* value = dict->find(format_.substr(at_ + 1, end - at_ - 1));
      if (value == nullptr) runtime_.fail("'%': missing value");
      at_ = end + 1;
      return *value;
    }
    return {};
  }

  int number() {
    int value = 0;
    while (at_ < format_.size() && format_[at_] >= '0' && format_[at_] <= '9') {
      value = std::min(value * 10 + (format_[at_++] - '0'), kMaxWidth + 1);
    }
    if (value > kMaxWidth) runtime_.fail("'%': width too large");
    return value;
  }

  Spec spec() {
    Spec spec;
    for (; at_ < format_.size(); ++at_) {
      const char c = format_[at_];
      if (c == '-') {
        spec.left = true;
      } else if (c == '0') {
        spec.zero = true;
      } else if (c == '+') {
        spec.plus = true;
      } else {
        break;
      }
    }
    spec.width = number();
    if (at_ < format_.size() && format_[at_] == '.') {
      ++at_;
      spec.precision = number();
    }
    if (at_ >= format_.size()) runtime_.fail("'%': incomplete format");
    spec.type = format_[at_++];
    return spec;
  }

  Value next_value() {
    if (used_ >= available()) runtime_.fail("'%': not enough values");
    const Sequence* items = tuple();
    const Value& value = items == nullptr ? values_ : items->items[used_];
    ++used_;
    return value;
  }

  std::string padded_value() {
    const bool named = at_ < format_.size() && format_[at_] == '(';
    Value value = value_of_field();
    const Spec how = spec();
    if (!named) value = next_value();
    std::string text = text_of(how, value);
    runtime_.scan(text.size());
    const auto missing = how.width - count_characters(text);
    if (missing <= 0) return text;
    const std::string fill(static_cast<size_t>(missing), ' ');
    if (how.left) return text + fill;
    const bool number = how.type != 's' && how.type != 'r';
    if (!how.zero || !number) return fill + text;
    const size_t sign = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
    return text.insert(sign, static_cast<size_t>(missing), '0');
  }

  std::string text_of(const Spec& how, const Value& value) {
    if (how.type == 's' || how.type == 'r') {
      TextBuilder out(runtime_);
      how.type == 's' ? add_text(runtime_, out, value) : add_repr(runtime_, out, value);
      std::string text = out.take();
      return how.precision < 0 ? text : text.substr(0, character_offset(text, how.precision));
    }
    runtime_.require_defined(value);
    if (!value.is_number()) runtime_.fail("'%': a number is needed, not " + type_name(value));
    const std::string text = number_text(how, value);
    return how.plus && !text.starts_with('-') ? "+" + text : text;
  }

  std::string number_text(const Spec& how, const Value& value) {
    const int precision = how.precision < 0 ? 6 : how.precision;
    switch (how.type) {
      case 'd':
      case 'i':
        return fmt::format("{}", whole(value));
      case 'x':
        return fmt::format("{:x}", whole(value));
      case 'f':
        return fmt::format("{:.{}f}", value.number(), precision);
      case 'e':
        return fmt::format("{:.{}e}", value.number(), precision);
      case 'g':
        return fmt::format("{:.{}g}", value.number(), precision);
      default:
        runtime_.fail(std::string("unsupported format '%") + how.type + "'");
    }
  }

  int64_t whole(const Value& value) {
    if (value.is_integral()) return value.integer();
    if (!(value.number() > -9e18 && value.number() < 9e18)) runtime_.fail("'%': number too large");
    return static_cast<int64_t>(value.number());
  }

  Runtime& runtime_;
  std::string_view format_;
  const Value& values_;
  size_t at_ = 0;
  size_t used_ = 0;
};

/// What "{FIELD}" stands for; `automatic` counts the empty fields.
const Value& format_value(Runtime& runtime,
                          const Arguments& arguments,
                          const std::string& field,
                          size_t& automatic) {
  const bool number = !field.empty() && field.size() < 4 &&
                      std::ranges::all_of(field, [](char c) { return c >= '0' && c <= '9'; });
  if (field.find_first_of(":!.[{") != std::string::npos) {
    runtime.fail("format(): unsupported field '" + field + "'");
  }
  const bool by_position = field.empty() || number;
  const size_t position = field.empty() ? automatic++ : number ? std::stoul(field) : 0;
  runtime.step(std::ssize(arguments.named));
  const Value* value = by_position ? arguments.get(position, "\n") : arguments.find(field);
  if (value == nullptr) runtime.fail("format(): missing value for '" + field + "'");
  return *value;
}

}  // namespace

std::string brace_format(Runtime& runtime, std::string_view format, const Arguments& arguments) {
  TextBuilder out(runtime);
  size_t automatic = 0;
  for (size_t i = 0; i < format.size(); ++i) {
    const std::string_view two = format.substr(i, 2);
    if (two == "{{" || two == "}}") {
      out.add(format[i++]);
    } else if (format[i] == '}') {
      runtime.fail("format(): single '}'");
    } else if (format[i] != '{') {
      out.add(format[i]);
    } else {
      const size_t end = format.find('}', i);
      if (end == std::string_view::npos) runtime.fail("format(): expected '}'");
      const std::string field(format.substr(i + 1, end - i - 1));
      add_text(runtime, out, format_value(runtime, arguments, field, automatic));
      i = end;
    }
  }
  return out.take();
}

std::string percent_format(Runtime& runtime, const std::string& format, const Value& values) {
  return Formatter(runtime, format, values).run();
}

}  // namespace dms::text::jinja
