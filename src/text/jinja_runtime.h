#pragma once
// What every part of the renderer shares: limits that hostile templates meet, errors that name the
// line, arguments of calls, and conversion of values to text and to lists.

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja_value.h"

namespace dms::text::jinja {

/// Rendering a long conversation stays far below these.
struct Limits {
  int64_t steps = 10'000'000;          // expressions evaluated and elements walked
  int64_t bytes = int64_t{512} << 20;  // text made on the way, all together
  int64_t depth = 400;                 // nested evaluations and macro calls
};

class Runtime {
 public:
  Runtime(std::string where, const Limits& limits) : where_(std::move(where)), limits_(limits) {}
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
  ~Runtime();

  /// Counts work; throws InputError when the template takes too much.
  void step(int64_t count = 1);
  void made(size_t bytes);

  /// One level of recursion, for as long as it lives.
  class Level {
   public:
    explicit Level(Runtime& runtime);
    ~Level() { --runtime_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Runtime& runtime_;
  };

  /// Throws InputError "WHERE: line N: what".
  [[noreturn]] void fail(const std::string& what) const;
  /// The template's own raise_exception(message).
  [[noreturn]] void raise(const std::string& message) const;
  /// Undefined values may be printed and tested but not used.
  void require_defined(const Value& value) const;

  Value make_namespace(Dict attributes);

  int line = 1;  // being rendered

 private:
  std::string where_;
  Limits limits_;
  int64_t steps_ = 0;
  int64_t bytes_ = 0;
  int64_t depth_ = 0;
  // A namespace can contain itself; emptying all of them at the end frees such cycles.
  std::vector<std::shared_ptr<Namespace>> namespaces_;
};

/// Arguments of one call, taken by name or position.
class Arguments {
 public:
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;

  /// Checks that nothing but `names` is given and not twice. Call before get().
  void expect(const Runtime& runtime,
              std::string_view callee,
              std::initializer_list<std::string_view> names,
              size_t required = 0) const;
  /// The argument at `position` or called `name`, or null.
  const Value* get(size_t position, std::string_view name) const;
  const Value* find(std::string_view name) const;
  std::string text_or(Runtime& runtime,
                      size_t position,
                      std::string_view name,
                      const char* fallback) const;
  int64_t integer_or(const Runtime& runtime,
                     size_t position,
                     std::string_view name,
                     int64_t fallback) const;
  bool flag_or(size_t position, std::string_view name, bool fallback) const;
  /// Those from `first` on, as arguments of another call.
  Arguments rest(size_t first) const;
};

/// Python's str() and repr().
std::string to_text(Runtime& runtime, const Value& value);
std::string repr(Runtime& runtime, const Value& value);

/// The elements a for loop would walk over; uses up an iterator. Undefined is empty.
std::vector<Value> elements(Runtime& runtime, const Value& value);

/// len(), or nothing where Python has none.
std::optional<int64_t> length(Runtime& runtime, const Value& value);

}  // namespace dms::text::jinja
