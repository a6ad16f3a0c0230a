#pragma once
// What every part of the renderer shares: the budget, recursion, arguments of calls, and conversion
// of values to text, to elements, and from and to JSON.

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "text/jinja/budget.h"
#include "text/jinja/value.h"

namespace dms::text::jinja {

class Runtime : public Budget {
 public:
  using Budget::Budget;
  ~Runtime();

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

  /// While this is set, an undefined value is an error as soon as it comes up.
  bool is_strict = false;

  /// Whether an attribute of a dict can be nothing but an entry: in expressions, where a field
  /// named "items" is no method.
  bool hides_dict_methods() const { return !origin().is_template; }
  /// Undefined values may be printed and tested but not used.
  void require_defined(const Value& value) const;
  /// Charged: an undefined value carries its reason.
  Value undefined(std::string what);
  Value make_namespace(Dict attributes);

 private:
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
  void expect(Runtime& runtime,
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
void add_text(Runtime& runtime, TextBuilder& out, const Value& value);
void add_repr(Runtime& runtime, TextBuilder& out, const Value& value);

/// The elements a for loop would walk over: a list's own, or made for the occasion.
class Elements {
 public:
  /// Uses up an iterator. Undefined is empty. Throws where there is nothing to walk over.
  Elements(Runtime& runtime, const Value& value);

  size_t size() const { return span().size(); }
  bool empty() const { return span().empty(); }
  const Value& operator[](size_t i) const { return span()[i]; }
  const Value* begin() const { return span().data(); }
  const Value* end() const { return span().data() + span().size(); }
  std::span<const Value> span() const { return shared_ ? std::span(shared_->items) : made_; }

 private:
  std::shared_ptr<const Sequence> shared_;
  std::vector<Value> made_;
};

/// len(), or nothing where Python has none.
std::optional<int64_t> length(Runtime& runtime, const Value& value);

/// Throws InputError on nesting beyond kMaxValueDepth.
template <class Json>  // nlohmann's, ordered or not
Value from_json(Budget& budget, const Json& json, int depth = 0);
/// About what a value takes, texts and structure.
template <class Json>
size_t bytes_of(const Json& json, int depth = 0);

struct JsonStyle {
  bool ascii = false;  // escape everything else
  bool multi_line = false;
  std::string indent;  // of one level, with multi_line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool sort_keys = false;
};

/// What Python's json.dumps gives. Fails on values that are not JSON.
std::string to_json(Runtime& runtime, const Value& value, const JsonStyle& style);

}  // namespace dms::text::jinja
