#include "text/jinja_runtime.h"

#include <algorithm>

#include "dms/error.h"
#include "text/jinja_text.h"

namespace dms::text::jinja {
namespace {

std::string join_reprs(Runtime& runtime, const std::vector<Value>& items) {
  std::string text;
  for (const Value& item : items) {
    if (!text.empty()) text += ", ";
    text += repr(runtime, item);
  }
  return text;
}

std::string sequence_text(Runtime& runtime, const Sequence& sequence) {
  const std::string items = join_reprs(runtime, sequence.items);
  switch (sequence.kind) {
    case Sequence::Kind::kList:
      return "[" + items + "]";
    case Sequence::Kind::kTuple:
      return "(" + items + (sequence.items.size() == 1 ? ",)" : ")");
    case Sequence::Kind::kKeys:
      return "dict_keys([" + items + "])";
    case Sequence::Kind::kValues:
      return "dict_values([" + items + "])";
    case Sequence::Kind::kItems:
      return "dict_items([" + items + "])";
    case Sequence::Kind::kRange:
      break;
  }
  runtime.fail("unsupported: a range as text");
}

std::string dict_text(Runtime& runtime, const Dict& dict) {
  std::string text = "{";
  for (const auto& [key, value] : dict.entries) {
    if (text.size() > 1) text += ", ";
    text += repr(runtime, key) + ": " + repr(runtime, value);
  }
  return text + "}";
}

std::string text_of(Runtime& runtime, const Value& value) {
  if (value.is_none()) return "None";
  if (const bool* flag = value.get<bool>()) return *flag ? "True" : "False";
  if (const int64_t* number = value.get<int64_t>()) return std::to_string(*number);
  if (const double* number = value.get<double>()) return float_text(*number);
  if (const Sequence* sequence = value.sequence()) return sequence_text(runtime, *sequence);
  if (const Dict* dict = value.dict()) return dict_text(runtime, *dict);
  runtime.fail("unsupported: a " + type_name(value) + " as text");
}

}  // namespace

Runtime::~Runtime() {
  for (const std::shared_ptr<Namespace>& space : namespaces_) space->attributes = Dict{};
}

void Runtime::step(int64_t count) {
  steps_ += count;
  if (steps_ > limits_.steps) fail("the template takes too many steps");
}

void Runtime::made(size_t bytes) {
  bytes_ += static_cast<int64_t>(bytes);
  if (bytes_ > limits_.bytes) fail("the template makes too much text");
}

Runtime::Level::Level(Runtime& runtime) : runtime_(runtime) {
  if (runtime_.depth_ >= runtime_.limits_.depth) runtime_.fail("recursion too deep");
  ++runtime_.depth_;
}

void Runtime::fail(const std::string& what) const {
  throw InputError({.where = where_ + ": line " + std::to_string(line), .what = what});
}

void Runtime::raise(const std::string& message) const {
  throw InputError({.where = where_, .what = message});
}

void Runtime::require_defined(const Value& value) const {
  if (const Undefined* undefined = value.get<Undefined>()) {
    fail(undefined->what ? *undefined->what : "undefined value");
  }
}

Value Runtime::make_namespace(Dict attributes) {
  namespaces_.push_back(std::make_shared<Namespace>(Namespace{std::move(attributes)}));
  return namespaces_.back();
}

void Arguments::expect(const Runtime& runtime,
                       std::string_view callee,
                       std::initializer_list<std::string_view> names,
                       size_t required) const {
  const std::string name(callee);
  if (positional.size() > names.size()) runtime.fail("too many arguments for " + name);
  for (const auto& [key, value] : named) {
    const auto position = static_cast<size_t>(std::ranges::find(names, key) - names.begin());
    if (position == names.size()) runtime.fail("unsupported argument '" + key + "' of " + name);
    if (position < positional.size()) runtime.fail("argument '" + key + "' given twice to " + name);
  }
  for (size_t i = 0; i < required; ++i) {
    if (get(i, names.begin()[i]) == nullptr) {
      runtime.fail("missing argument '" + std::string(names.begin()[i]) + "' of " + name);
    }
  }
}

const Value* Arguments::find(std::string_view name) const {
  const auto it = std::ranges::find(named, name, [](const auto& pair) { return pair.first; });
  return it == named.end() ? nullptr : &it->second;
}

const Value* Arguments::get(size_t position, std::string_view name) const {
  return position < positional.size() ? &positional[position] : find(name);
}

std::string Arguments::text_or(Runtime& runtime,
                               size_t position,
                               std::string_view name,
                               const char* fallback) const {
  const Value* value = get(position, name);
  return value == nullptr ? fallback : to_text(runtime, *value);
}

int64_t Arguments::integer_or(const Runtime& runtime,
                              size_t position,
                              std::string_view name,
                              int64_t fallback) const {
  const Value* value = get(position, name);
  if (value == nullptr) return fallback;
  runtime.require_defined(*value);
  if (!value->is_integral()) {
    runtime.fail("argument '" + std::string(name) + "' is " + type_name(*value) + ", not int");
  }
  return value->integer();
}

bool Arguments::flag_or(size_t position, std::string_view name, bool fallback) const {
  const Value* value = get(position, name);
  return value == nullptr ? fallback : truthy(*value);
}

Arguments Arguments::rest(size_t first) const {
  Arguments others;
  const size_t skipped = std::min(first, positional.size());
  others.positional.assign(positional.begin() + static_cast<std::ptrdiff_t>(skipped),
                           positional.end());
  others.named = named;
  return others;
}

std::string to_text(Runtime& runtime, const Value& value) {
  runtime.step();
  if (value.is_undefined()) return {};
  std::string text = value.is_string() ? value.string() : text_of(runtime, value);
  runtime.made(text.size());
  return text;
}

std::string repr(Runtime& runtime, const Value& value) {
  runtime.step();
  if (value.is_undefined()) return "Undefined";
  std::string text = value.is_string() ? quote(value.string()) : text_of(runtime, value);
  runtime.made(text.size());
  return text;
}

std::vector<Value> elements(Runtime& runtime, const Value& value) {
  std::vector<Value> items;
  if (value.is_undefined()) return items;
  if (value.is_string()) {
    for (const std::string_view character : characters(value.string())) {
      items.emplace_back(character);
    }
  } else if (const Sequence* sequence = value.sequence()) {
    items = sequence->items;
  } else if (const Dict* dict = value.dict()) {
    for (const auto& entry : dict->entries) items.push_back(entry.first);
  } else if (Iterator* iterator = value.iterator()) {
    items.assign(iterator->items.begin() + static_cast<std::ptrdiff_t>(iterator->position),
                 iterator->items.end());
    iterator->position = iterator->items.size();
  } else {
    runtime.fail("a " + type_name(value) + " is not iterable");
  }
  runtime.step(static_cast<int64_t>(items.size()));
  runtime.made(items.size() * sizeof(Value));
  return items;
}

std::optional<int64_t> length(Runtime& runtime, const Value& value) {
  if (value.is_undefined()) return 0;
  if (value.is_string()) {
    runtime.made(value.string().size());
    return count_characters(value.string());
  }
  if (const Sequence* sequence = value.sequence()) {
    return static_cast<int64_t>(sequence->items.size());
  }
  if (const Dict* dict = value.dict()) return static_cast<int64_t>(dict->entries.size());
  return std::nullopt;
}

}  // namespace dms::text::jinja
