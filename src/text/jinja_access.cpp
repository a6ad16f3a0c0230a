// Attributes, items and slices (declared in jinja_operators.h).

#include <algorithm>
#include <array>
#include <limits>

#include "text/jinja_methods.h"
#include "text/jinja_operators.h"
#include "text/jinja_text.h"

namespace dms::text::jinja {
namespace {

Value missing(const Value& object, const std::string& name) {
  return Value::undefined("'" + type_name(object) + " object' has no attribute '" + name + "'");
}

/// Makes sure that the element after the current one, if any, has been pulled.
bool look_ahead(Loop& loop) {
  if (!loop.ahead.empty()) return true;
  std::optional<Value> next = loop.pull();
  if (next) loop.ahead.push_back(std::move(*next));
  return !loop.ahead.empty();
}

int64_t loop_length(Loop& loop) {
  std::vector<Value> rest(loop.ahead.rbegin(), loop.ahead.rend());
  while (std::optional<Value> next = loop.pull()) rest.push_back(std::move(*next));
  loop.ahead.assign(rest.rbegin(), rest.rend());
  return loop.index + 1 + static_cast<int64_t>(rest.size());
}

Value loop_attribute(Loop& loop, std::string_view name) {
  if (name == "index") return loop.index + 1;
  if (name == "index0") return loop.index;
  if (name == "first") return loop.index == 0;
  if (name == "last") return !look_ahead(loop);
  if (name == "length") return loop_length(loop);
  if (name == "revindex") return loop_length(loop) - loop.index;
  if (name == "revindex0") return loop_length(loop) - loop.index - 1;
  if (name == "depth") return loop.depth;
  if (name == "depth0") return loop.depth - 1;
  if (name == "previtem") {
    return loop.previous ? *loop.previous : Value::undefined("there is no previous item");
  }
  if (name == "nextitem") {
    return look_ahead(loop) ? loop.ahead.back() : Value::undefined("there is no next item");
  }
  return Value::undefined("'loop' has no attribute '" + std::string(name) + "'");
}

Value bound_method(const Value& object, std::string_view name) {
  return std::make_shared<const Callable>(
      Callable{.kind = Callable::Kind::kMethod, .name = std::string(name), .self = object});
}

/// What Python's getattr finds, or nothing.
std::optional<Value> own_attribute(const Value& object, std::string_view name) {
  if (Loop* loop = object.loop()) {
    if (name == "cycle" || name == "changed") return bound_method(object, name);
    return loop_attribute(*loop, name);
  }
  if (const Namespace* space = object.name_space()) {
    const Value* value = space->attributes.find(name);
    return value == nullptr ? std::nullopt : std::optional<Value>(*value);
  }
  switch (find_method(object, name)) {
    case MethodKind::kKnown:
      return bound_method(object, name);
    case MethodKind::kForbidden:
      return Value::undefined("access to method '" + std::string(name) + "' of a " +
                              type_name(object) + " is not safe: it would change it");
    case MethodKind::kNone:
      break;
  }
  return std::nullopt;
}

/// What Python's obj[key] finds, or nothing.
std::optional<Value> own_item(const Value& object, const Value& key) {
  if (const Dict* dict = object.dict()) {
    const Value* value = dict->find(key);
    return value == nullptr ? std::nullopt : std::optional<Value>(*value);
  }
  if (!key.is_integral()) return std::nullopt;
  const auto at = [&](size_t size) -> std::optional<size_t> {
    const auto count = static_cast<int64_t>(size);
    const int64_t index = key.integer() < 0 ? key.integer() + count : key.integer();
    if (index < 0 || index >= count) return std::nullopt;
    return static_cast<size_t>(index);
  };
  if (object.is_string()) {
    const std::vector<std::string_view> parts = characters(object.string());
    const std::optional<size_t> index = at(parts.size());
    return index ? std::optional<Value>(Value(parts[*index])) : std::nullopt;
  }
  const Sequence* sequence = object.sequence();
  if (sequence == nullptr || sequence->kind > Sequence::Kind::kRange) return std::nullopt;
  const std::optional<size_t> index = at(sequence->items.size());
  return index ? std::optional<Value>(sequence->items[*index]) : std::nullopt;
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

}  // namespace

Value attribute(Runtime& runtime, const Value& object, std::string_view name) {
  runtime.require_defined(object);
  if (std::optional<Value> value = own_attribute(object, name)) return std::move(*value);
  if (std::optional<Value> value = own_item(object, Value(name))) return std::move(*value);
  return missing(object, std::string(name));
}

Value item(Runtime& runtime, const Value& object, const Value& key) {
  runtime.require_defined(object);
  if (object.is_string()) runtime.made(object.string().size());
  if (std::optional<Value> value = own_item(object, key)) return std::move(*value);
  if (key.is_string()) {
    if (std::optional<Value> value = own_attribute(object, key.string())) return std::move(*value);
  }
  return missing(object, key_text(key));
}

Value slice(Runtime& runtime,
            const Value& object,
            const Value& start,
            const Value& stop,
            const Value& step) {
  runtime.require_defined(object);
  if (object.is_string()) {
    runtime.made(object.string().size() * 2);
    const std::vector<std::string_view> parts = characters(object.string());
    std::string out;
    for_each_in(parts,
                resolve(runtime, {&start, &stop, &step}, static_cast<int64_t>(parts.size())),
                [&](std::string_view part) { out += part; });
    return out;
  }
  const Sequence* sequence = object.sequence();
  if (sequence == nullptr || sequence->kind > Sequence::Kind::kRange) {
    runtime.fail("a " + type_name(object) + " cannot be sliced");
  }
  std::vector<Value> out;
  for_each_in(
      sequence->items,
      resolve(runtime, {&start, &stop, &step}, static_cast<int64_t>(sequence->items.size())),
      [&](const Value& value) { out.push_back(value); });
  runtime.step(static_cast<int64_t>(out.size()));
  return make_sequence(sequence->kind, std::move(out));
}

}  // namespace dms::text::jinja
