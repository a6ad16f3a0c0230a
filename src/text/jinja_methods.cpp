#include "text/jinja_methods.h"

#include <algorithm>
#include <array>

#include "text/jinja_string_methods.h"

namespace dms::text::jinja {
namespace {

using Names = std::initializer_list<std::string_view>;

bool among(std::string_view name, Names names) {
  return std::ranges::find(names, name) != names.end();
}

bool is_list_method(std::string_view name) { return among(name, {"copy", "count", "index"}); }

std::vector<Value> keys_of(const Dict& dict) {
  std::vector<Value> keys;
  for (const auto& entry : dict.entries) keys.push_back(entry.first);
  return keys;
}

std::vector<Value> values_of(const Dict& dict) {
  std::vector<Value> values;
  for (const auto& entry : dict.entries) values.push_back(entry.second);
  return values;
}

std::vector<Value> items_of(const Dict& dict) {
  std::vector<Value> items;
  for (const auto& [key, value] : dict.entries) items.push_back(make_tuple({key, value}));
  return items;
}

Value dict_method(Runtime& runtime,
                  const Value& object,
                  std::string_view name,
                  const Arguments& arguments) {
  const Dict& dict = *object.dict();
  if (name == "get") {
    if (!arguments.named.empty()) runtime.fail("get() takes no keyword arguments");
    arguments.expect(runtime, "get", {"key", "default"}, 1);
    const Value* value = dict.find(arguments.positional[0]);
    if (value != nullptr) return *value;
    return arguments.positional.size() > 1 ? arguments.positional[1] : Value(None{});
  }
  arguments.expect(runtime, name, {});
  runtime.step(static_cast<int64_t>(dict.entries.size()));
  if (name == "items") return make_sequence(Sequence::Kind::kItems, items_of(dict));
  if (name == "keys") return make_sequence(Sequence::Kind::kKeys, keys_of(dict));
  if (name == "values") return make_sequence(Sequence::Kind::kValues, values_of(dict));
  if (name == "copy") return object;
  runtime.fail("unsupported method '" + std::string(name) + "' of a dict");
}

Value list_method(Runtime& runtime,
                  const Value& object,
                  std::string_view name,
                  const Arguments& arguments) {
  const std::vector<Value>& items = object.sequence()->items;
  runtime.step(static_cast<int64_t>(items.size()));
  if (name == "copy") {
    arguments.expect(runtime, name, {});
    return object;
  }
  arguments.expect(runtime, name, {"value"}, 1);
  const Value& wanted = *arguments.get(0, "value");
  const auto same = [&](const Value& value) { return equal(value, wanted); };
  if (name == "count") return static_cast<int64_t>(std::ranges::count_if(items, same));
  const auto it = std::ranges::find_if(items, same);
  if (it == items.end()) runtime.fail("index(): the value is not in the list");
  return static_cast<int64_t>(it - items.begin());
}

Value loop_method(Runtime& runtime, Loop& loop, std::string_view name, const Arguments& arguments) {
  const std::vector<Value>& values = arguments.positional;
  if (name == "cycle") {
    if (values.empty()) runtime.fail("loop.cycle() needs something to cycle through");
    return values[static_cast<size_t>(loop.index) % values.size()];
  }
  const bool changed = !loop.has_changed || !std::ranges::equal(loop.changed, values, equal);
  loop.changed = values;
  loop.has_changed = true;
  return changed;
}

}  // namespace

MethodKind find_method(const Value& object, std::string_view name) {
  bool known = false;
  bool forbidden = false;
  if (object.is_string()) {
    known = is_string_method(name);
  } else if (object.dict() != nullptr) {
    known = among(name, {"copy", "fromkeys", "get", "items", "keys", "values"});
    forbidden = among(name, {"clear", "pop", "popitem", "setdefault", "update"});
  } else if (const Sequence* sequence = object.sequence()) {
    const bool list = sequence->kind == Sequence::Kind::kList;
    known = sequence->kind <= Sequence::Kind::kTuple && is_list_method(name) &&
            (list || name != "copy");
    forbidden =
        list &&
        among(name, {"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"});
  }
  if (forbidden) return MethodKind::kForbidden;
  return known ? MethodKind::kKnown : MethodKind::kNone;
}

Value call_method(Runtime& runtime,
                  const Value& object,
                  std::string_view name,
                  const Arguments& arguments) {
  if (object.is_string()) return call_string_method(runtime, object.string(), name, arguments);
  if (object.dict() != nullptr) return dict_method(runtime, object, name, arguments);
  if (Loop* loop = object.loop()) return loop_method(runtime, *loop, name, arguments);
  return list_method(runtime, object, name, arguments);
}

}  // namespace dms::text::jinja
