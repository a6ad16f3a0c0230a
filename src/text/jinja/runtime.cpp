#include "text/jinja/runtime.h"

#include <algorithm>
#include <array>
#include <utility>

#include "text/jinja/text.h"

namespace dms::text::jinja {
namespace {

void add_reprs(Runtime& runtime, TextBuilder& out, const std::vector<Value>& items) {
  bool first = true;
  for (const Value& item : items) {
    if (!std::exchange(first, false)) out.add(", ");
    add_repr(runtime, out, item);
  }
}

void add_sequence(Runtime& runtime, TextBuilder& out, const Sequence& sequence) {
  using Kind = Sequence::Kind;
  if (sequence.kind == Kind::kRange) runtime.fail("unsupported: a range as text");
  constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kBrackets{
      {{"[", "]"},
       {"(", ")"},
       {},
       {"dict_keys([", "])"},
       {"dict_values([", "])"},
       {"dict_items([", "])"}}};
  const auto& [open, close] = kBrackets[static_cast<size_t>(sequence.kind)];
  out.add(open);
  add_reprs(runtime, out, sequence.items);
  if (sequence.kind == Kind::kTuple && sequence.items.size() == 1) out.add(',');
  out.add(close);
}

void add_dict(Runtime& runtime, TextBuilder& out, const Dict& dict) {
  out.add('{');
  bool first = true;
  for (const auto& [key, value] : dict.entries) {
    if (!std::exchange(first, false)) out.add(", ");
    add_repr(runtime, out, key);
    out.add(": ");
    add_repr(runtime, out, value);
  }
  out.add('}');
}

/// What str() and repr() have in common: all but texts and undefined values.
void add_plain(Runtime& runtime, TextBuilder& out, const Value& value) {
  if (value.is_none()) {
    out.add("None");
  } else if (const bool* flag = value.get<bool>()) {
    out.add(*flag ? "True" : "False");
  } else if (const int64_t* number = value.get<int64_t>()) {
    out.add(std::to_string(*number));
  } else if (const double* real = value.get<double>()) {
    out.add(float_text(*real));
  } else if (const Sequence* sequence = value.sequence()) {
    add_sequence(runtime, out, *sequence);
  } else if (const Dict* dict = value.dict()) {
    add_dict(runtime, out, *dict);
  } else {
    runtime.fail("unsupported: a " + type_name(value) + " as text");
  }
}

}  // namespace

Runtime::~Runtime() {
  for (const std::shared_ptr<Namespace>& space : namespaces_) space->attributes = Dict{};
}

Runtime::Level::Level(Runtime& runtime) : runtime_(runtime) {
  if (runtime_.depth_ >= runtime_.limits().depth) runtime_.fail("recursion too deep");
  ++runtime_.depth_;
}

void Runtime::require_defined(const Value& value) const {
  if (const Undefined* undefined = value.get<Undefined>()) {
    fail(undefined->what ? *undefined->what : "undefined value");
  }
}

Value Runtime::undefined(std::string what) {
  if (is_strict) fail(what, "ask for a field that may be missing with has()");
  make(kObjectBytes + what.size());
  return Value::undefined(std::move(what));
}

Value Runtime::make_namespace(Dict attributes) {
  make(4 * kObjectBytes);
  namespaces_.push_back(std::make_shared<Namespace>(Namespace{std::move(attributes)}));
  return namespaces_.back();
}

void Arguments::expect(Runtime& runtime,
                       std::string_view callee,
                       std::initializer_list<std::string_view> names,
                       size_t required) const {
  runtime.step(static_cast<int64_t>(named.size()));
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
  TextBuilder out(runtime);
  add_text(runtime, out, value);
  return out.take();
}

void add_text(Runtime& runtime, TextBuilder& out, const Value& value) {
  runtime.step();
  if (value.is_undefined()) return;
  if (value.is_string()) {
    out.add(value.string());
  } else {
    add_plain(runtime, out, value);
  }
}

void add_repr(Runtime& runtime, TextBuilder& out, const Value& value) {
  runtime.step();
  if (value.is_undefined()) {
    out.add("Undefined");
  } else if (value.is_string()) {
    runtime.scan(value.string().size());
    add_quoted(out, value.string());
  } else {
    add_plain(runtime, out, value);
  }
}

Elements::Elements(Runtime& runtime, const Value& value) {
  if (value.is_undefined()) return;
  if (const auto* sequence = value.get<std::shared_ptr<const Sequence>>()) {
    runtime.step(std::ssize((*sequence)->items));
    shared_ = *sequence;
    return;
  }
  ListBuilder items(runtime);
  if (value.is_string()) {
    runtime.step(std::ssize(value.string()));
    for (const std::string_view character : characters(value.string())) items.add_text(character);
  } else if (const Dict* dict = value.dict()) {
    runtime.step(std::ssize(dict->entries));
    for (const auto& entry : dict->entries) items.add(entry.first);
  } else if (Iterator* iterator = value.iterator()) {
    items.add_all(std::span(iterator->items).subspan(iterator->position));
    iterator->position = iterator->items.size();
  } else {
    runtime.fail("a " + type_name(value) + " is not iterable");
  }
  made_ = items.take();
}

std::optional<int64_t> length(Runtime& runtime, const Value& value) {
  if (value.is_undefined()) return 0;
  if (value.is_string()) {
    runtime.scan(value.string().size());
    return count_characters(value.string());
  }
  if (const Sequence* sequence = value.sequence()) return std::ssize(sequence->items);
  if (const Dict* dict = value.dict()) return std::ssize(dict->entries);
  return std::nullopt;
}

}  // namespace dms::text::jinja
