// Methods and global functions (declared in builtins.h).

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include "text/jinja/builtins.h"

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

constexpr int64_t kMaxRange = 100000;  // as in jinja2's sandbox

Value range(Runtime& runtime, const Arguments& arguments) {
  arguments.expect(runtime, "range", {"start", "stop", "step"}, 1);
  if (!arguments.named.empty()) runtime.fail("range() takes no keyword arguments");
  const bool only_stop = arguments.positional.size() == 1;
  const int64_t first = arguments.integer_or(runtime, 0, "start", 0);
  const int64_t start = only_stop ? 0 : first;
  const int64_t stop = only_stop ? first : arguments.integer_or(runtime, 1, "stop", 0);
  const int64_t step = arguments.integer_or(runtime, 2, "step", 1);
  if (step == 0) runtime.fail("range() step must not be zero");
  ListBuilder items(runtime);
  int64_t i = start;
  bool overflow = false;
  while (!overflow && (step > 0 ? i < stop : i > stop)) {
    if (std::cmp_greater_equal(items.size(), kMaxRange)) runtime.fail("range() too large");
    runtime.step();
    items.add(i);
    overflow = __builtin_add_overflow(i, step, &i);
  }
  return make_sequence(runtime, Sequence::Kind::kRange, items.take());
}

void add_pairs(Runtime& runtime, Dict& dict, const Value& source) {
  for (const Value& pair : Elements(runtime, source)) {
    const Elements parts(runtime, pair);
    if (parts.size() != 2) runtime.fail("dict() needs pairs");
    if (!dict.set(runtime, parts[0], parts[1])) {
      runtime.fail("dict(): a key cannot be a list or dict");
    }
  }
}

/// dict(mapping, **named), also the start of a namespace.
Dict dict_of(Runtime& runtime, const Arguments& arguments) {
  if (arguments.positional.size() > 1) runtime.fail("dict() takes one positional argument");
  Dict dict;
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    runtime.require_defined(source);
    if (source.dict() != nullptr) {
      runtime.step(std::ssize(source.dict()->entries));
      runtime.make(source.dict()->bytes);
      dict = *source.dict();
    } else {
      add_pairs(runtime, dict, source);
    }
  }
  for (const auto& [name, value] : arguments.named) dict.set(runtime, Value(name), value);
  return dict;
}

Value namespace_of(Runtime& runtime, const Arguments& arguments) {
  Dict attributes = dict_of(runtime, arguments);
  runtime.step(std::ssize(attributes.entries));
  for (const auto& entry : attributes.entries) {
    if (entry.first.is_string() && entry.first.string().starts_with('_')) {
      runtime.fail("a namespace cannot hold '" + entry.first.string() + "'");
    }
  }
  return runtime.make_namespace(std::move(attributes));
}

Value raise(Runtime& runtime, const Arguments& arguments) {
  arguments.expect(runtime, "raise_exception", {"message"}, 1);
  runtime.raise(to_text(runtime, *arguments.get(0, "message")));
}

Value time_now(Runtime& runtime, const Arguments& arguments) {
  arguments.expect(runtime, "strftime_now", {"format"}, 1);
  const std::string format = arguments.text_or(runtime, 0, "format", "");
  if (format.size() > 200) runtime.fail("strftime_now(): format too long");
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  std::array<char, 4096> text{};
  return std::string(text.data(), std::strftime(text.data(), text.size(), format.c_str(), &local));
}

using Function = Value (*)(Runtime&, const Arguments&);

constexpr std::array<std::pair<std::string_view, Function>, 5> kFunctions{{
    {"range", range},
    {"dict",
     [](Runtime& runtime, const Arguments& arguments) {
       return make_dict(runtime, dict_of(runtime, arguments));
     }},
    {"namespace", namespace_of},
    {"raise_exception", raise},
    {"strftime_now", time_now},
}};

const std::pair<std::string_view, Function>* find(std::string_view name) {
  const auto it = std::ranges::find(kFunctions, name, [](const auto& f) { return f.first; });
  return it == kFunctions.end() ? nullptr : &*it;
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

Value global_function(std::string_view name) {
  if (find(name) == nullptr) {
    return Value::undefined("'" + std::string(name) + "' is undefined");
  }
  return std::make_shared<const Callable>(
      Callable{.kind = Callable::Kind::kFunction, .name = std::string(name)});
}

Value call_function(Runtime& runtime, std::string_view name, const Arguments& arguments) {
  return find(name)->second(runtime, arguments);
}

}  // namespace dms::text::jinja
