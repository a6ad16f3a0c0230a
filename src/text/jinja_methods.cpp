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

/// A dict's keys, values or (key, value) pairs.
Value view_of(Runtime& runtime, const Dict& dict, Sequence::Kind kind) {
  runtime.step(std::ssize(dict.entries));
  ListBuilder items(runtime);
  for (const auto& [key, value] : dict.entries) {
    if (kind == Sequence::Kind::kItems) {
      runtime.make(2 * sizeof(Value));
      items.add(jinja::make_tuple(runtime, {key, value}));
    } else {
      items.add(kind == Sequence::Kind::kKeys ? key : value);
    }
  }
  return make_sequence(runtime, kind, items.take());
}

Value dict_method(Runtime& runtime,
                  const Value& object,
                  std::string_view name,
                  const Arguments& arguments) {
  const Dict& dict = *object.dict();
  if (name == "get") {
    if (!arguments.named.empty()) runtime.fail("get() takes no keyword arguments");
    arguments.expect(runtime, "get", {"key", "default"}, 1);
    const Value* value = dict.find(runtime, arguments.positional[0]);
    if (value != nullptr) return *value;
    return arguments.positional.size() > 1 ? arguments.positional[1] : Value(None{});
  }
  arguments.expect(runtime, name, {});
  if (name == "items") return view_of(runtime, dict, Sequence::Kind::kItems);
  if (name == "keys") return view_of(runtime, dict, Sequence::Kind::kKeys);
  if (name == "values") return view_of(runtime, dict, Sequence::Kind::kValues);
  if (name == "copy") return object;
  runtime.fail("unsupported method '" + std::string(name) + "' of a dict");
}

Value list_method(Runtime& runtime,
                  const Value& object,
                  std::string_view name,
                  const Arguments& arguments) {
  const std::vector<Value>& items = object.sequence()->items;
  if (name == "copy") {
    arguments.expect(runtime, name, {});
    return object;
  }
  arguments.expect(runtime, name, {"value"}, 1);
  const Value& wanted = *arguments.get(0, "value");
  const auto same = [&](const Value& value) { return equal(runtime, value, wanted); };
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
  const auto same = [&](const Value& a, const Value& b) { return equal(runtime, a, b); };
  const bool changed = !loop.has_changed || !std::ranges::equal(loop.changed, values, same);
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
