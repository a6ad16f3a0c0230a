#include "serve/xml_calls.h"

#include <algorithm>
#include <utility>

#include "serve/api_error.h"
#include "serve/json_scanner.h"

namespace dms::serve {
namespace {

constexpr std::string_view kFunction = "<function=";
constexpr std::string_view kEndFunction = "</function>";
constexpr std::string_view kParameter = "<parameter=";
constexpr std::string_view kEndParameter = "</parameter>";
constexpr size_t kMostKeyBytes = 256;

bool is_text_type(const OrderedJson& type) {
  if (type.is_array()) return std::ranges::any_of(type, is_text_type);
  return type == "string";
}

bool is_text(const OrderedJson& schema) {
  if (!schema.is_object()) return false;
  if (const auto type = schema.find("type"); type != schema.end()) return is_text_type(*type);
  for (const char* choice : {"anyOf", "oneOf"}) {
    const auto found = schema.find(choice);
    if (found != schema.end() && found->is_array() && std::ranges::any_of(*found, is_text)) {
      return true;
    }
  }
  const auto values = schema.find("enum");
  return values != schema.end() && values->is_array() &&
         std::ranges::all_of(*values, [](const OrderedJson& value) { return value.is_string(); });
}

/// Null where it has none.
const OrderedJson* schema_of(const Tool& tool, const std::string& key) {
  const auto properties = tool.parameters.find("properties");
  if (properties == tool.parameters.end() || !properties->is_object()) return nullptr;
  const auto schema = properties->find(key);
  return schema == properties->end() ? nullptr : &*schema;
}

/// The value's own blanks stay; line ends beside the tags are the form's.
std::string_view without_line_ends(std::string_view value) {
  if (value.starts_with('\n')) value.remove_prefix(1);
  if (value.ends_with('\n')) value.remove_suffix(1);
  return value;
}

/// Bytes of `tag` that `text` ends with: as many as may be.
size_t begun(std::string_view text, std::string_view tag) {
  size_t count = std::min(text.size(), tag.size());
  while (!text.ends_with(tag.substr(0, count))) --count;
  return count;
}

/// One of several texts is told without the blanks around it, which a form may allow.
std::string_view text_of(std::string_view value, const OrderedJson* schema) {
  constexpr std::string_view kBlanks = " \t\r\n";
  if (schema != nullptr && schema->contains("enum")) {
    const size_t begin = std::min(value.find_first_not_of(kBlanks), value.size());
    const std::string_view trimmed =
        value.substr(begin, value.find_last_not_of(kBlanks) + 1 - begin);
    const auto is_it = [trimmed](const OrderedJson& choice) {
      return choice == OrderedJson(trimmed);
    };
    if (std::ranges::any_of((*schema)["enum"], is_it)) return trimmed;
  }
  return without_line_ends(value);
}

}  // namespace

XmlCalls::XmlCalls(std::string_view close, Tools tools) : close_(close), tools_(std::move(tools)) {}

void XmlCalls::begin(bool) {
  state_ = State::kFunction;
  tag_.clear();
  name_.clear();
  keys_.clear();
}

CallSyntax::Step XmlCalls::push(char c, CallSink& sink) {
  switch (state_) {
    case State::kFunction:
      if (is_blank(c) && tag_.empty()) return Step::kHeld;
      tag_ += c;
      if (!kFunction.starts_with(tag_)) return Step::kBad;
      if (tag_ == kFunction) state_ = State::kName;
      return Step::kHeld;
    case State::kName:
      return push_name(c, sink);
    case State::kBody:
      return push_body(c, sink);
    case State::kKey:
      return push_key(c);
    case State::kValue:
      return push_value(c, sink);
    default:
      return push_close(c);
  }
}

CallSyntax::Step XmlCalls::push_name(char c, CallSink& sink) {
  if (c != '>') {
    name_ += c;
    return begins_name(*tools_, name_) ? Step::kHeld : Step::kBad;
  }
  tool_ = find_tool(*tools_, name_);
  if (tool_ == nullptr) return Step::kBad;
  sink.begin_call(name_);
  sink.add_arguments("{");
  tag_.clear();
  state_ = State::kBody;
  return Step::kTaken;
}

CallSyntax::Step XmlCalls::push_body(char c, CallSink& sink) {
  if (is_blank(c) && tag_.empty()) return Step::kHeld;
  tag_ += c;
  if (tag_ == kParameter) {
    key_.clear();
    state_ = State::kKey;
  } else if (tag_ == kEndFunction) {
    sink.add_arguments("}");
    tag_.clear();
    state_ = State::kClose;
    return Step::kTaken;
  } else if (!kParameter.starts_with(tag_) && !kEndFunction.starts_with(tag_)) {
    return Step::kBad;
  }
  return Step::kHeld;
}

CallSyntax::Step XmlCalls::push_key(char c) {
  if (c == '>') {
    value_.clear();
    state_ = State::kValue;
    return Step::kTaken;
  }
  if (c == '\n' || key_.size() == kMostKeyBytes) return Step::kBad;
  key_ += c;
  return Step::kHeld;
}

CallSyntax::Step XmlCalls::push_value(char c, CallSink& sink) {
  value_ += c;
  if (c != '>' || !value_.ends_with(kEndParameter)) return Step::kTaken;
  value_.resize(value_.size() - kEndParameter.size());
  add_argument(sink);
  tag_.clear();
  state_ = State::kBody;
  return Step::kTaken;
}

/// Of two with one key the first counts: it has gone on already.
void XmlCalls::add_argument(CallSink& sink) {
  if (keys_.contains(key_)) return;
  sink.add_arguments(argument());
  keys_.insert(key_);
}

/// "KEY": VALUE, with the comma before it.
std::string XmlCalls::argument() const {
  const OrderedJson* schema = schema_of(*tool_, key_);
  const std::string_view value = text_of(value_, schema);
  const std::string before = (keys_.empty() ? "" : ", ") + json_text(key_) + ": ";
  // What the schema does not name is text as well.
  const bool is_other = schema != nullptr && !is_text(*schema);
  return before + (is_other && is_json(value) ? std::string(value) : json_text(value));
}

CallSyntax::Step XmlCalls::push_close(char c) {
  if (is_blank(c) && tag_.empty()) return Step::kHeld;
  tag_ += c;
  if (!close_.starts_with(tag_)) return Step::kBad;
  return tag_ == close_ ? Step::kEnd : Step::kHeld;
}

/// A value that was cut short is told as far as it came, without its end and what may have become
/// the end tag.
void XmlCalls::finish(CallSink& sink) {
  if (state_ != State::kValue || keys_.contains(key_)) return;
  value_.resize(value_.size() - begun(value_, kEndParameter));
  std::string last = argument();
  if (last.ends_with('"')) last.pop_back();
  sink.add_arguments(last);
}

}  // namespace dms::serve
