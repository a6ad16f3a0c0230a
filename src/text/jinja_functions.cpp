// Global functions (declared in jinja_methods.h).

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include "text/jinja_methods.h"

namespace dms::text::jinja {
namespace {

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
