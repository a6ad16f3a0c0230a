#pragma once
// The values of template expressions, with Python's meaning. Everything is immutable and shared,
// except namespaces and the state of iterators and loops, so copies are cheap and no cycle can form
// but through a namespace (the renderer empties those at its end).

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "text/jinja/budget.h"

namespace dms::text::jinja {

class Value;
struct Sequence;
struct Dict;
struct Iterator;
struct Namespace;
struct Loop;
struct Callable;

/// Jinja's Undefined: prints as nothing; `what` says why for the error its use raises.
struct Undefined {
  std::shared_ptr<const std::string> what;
};

struct None {};

class Value {
 public:
  using String = std::shared_ptr<const std::string>;
  using Variant = std::variant<Undefined,
                               None,
                               bool,
                               int64_t,
                               double,
                               String,
                               std::shared_ptr<const Sequence>,
                               std::shared_ptr<const Dict>,
                               std::shared_ptr<Iterator>,
                               std::shared_ptr<Namespace>,
                               std::shared_ptr<Loop>,
                               std::shared_ptr<const Callable>>;

  Value() = default;
  Value(None) : data_(None{}) {}
  Value(bool value) : data_(value) {}
  Value(int64_t value) : data_(value) {}
  Value(double value) : data_(value) {}
  Value(std::string text) : data_(std::make_shared<const std::string>(std::move(text))) {}
  Value(std::string_view text) : Value(std::string(text)) {}
  Value(const char* text) : Value(std::string(text)) {}
  template <class T>
  Value(std::shared_ptr<T> object) : data_(std::move(object)) {}

  /// A text marked by the filter "safe": "+" with other text escapes that for HTML, which some real
  /// templates run into.
  static Value markup(std::string text) {
    Value value(std::move(text));
    value.markup_ = true;
    return value;
  }

  static Value undefined(std::string what) {
    Value value;
    value.data_ = Undefined{std::make_shared<const std::string>(std::move(what))};
    return value;
  }

  bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  bool is_string() const { return std::holds_alternative<String>(data_); }
  bool is_markup() const { return markup_; }
  /// True for bool too: Python's True is an integer.
  bool is_integral() const { return get<bool>() != nullptr || get<int64_t>() != nullptr; }
  bool is_number() const { return is_integral() || get<double>() != nullptr; }

  template <class T>
  const T* get() const {
    return std::get_if<T>(&data_);
  }
  const std::string& string() const { return **get<String>(); }
  const Sequence* sequence() const { return object<const Sequence>(); }
  const Dict* dict() const { return object<const Dict>(); }
  Iterator* iterator() const { return object<Iterator>(); }
  Namespace* name_space() const { return object<Namespace>(); }
  Loop* loop() const { return object<Loop>(); }
  const Callable* callable() const { return object<const Callable>(); }
  /// Of bool or int.
  int64_t integer() const { return get<bool>() != nullptr ? *get<bool>() : *get<int64_t>(); }
  /// Of bool, int or float.
  double number() const {
    return get<double>() != nullptr ? *get<double>() : static_cast<double>(integer());
  }
  const Variant& data() const { return data_; }

 private:
  template <class T>
  T* object() const {
    const auto* pointer = get<std::shared_ptr<T>>();
    return pointer == nullptr ? nullptr : pointer->get();
  }

  Variant data_;
  bool markup_ = false;
};

/// Lists and what behaves like them. A range is kept as its elements.
struct Sequence {
  enum class Kind { kList, kTuple, kRange, kKeys, kValues, kItems };
  Kind kind = Kind::kList;
  std::vector<Value> items;
  int depth = 1;  // of nesting
};

/// A Python dict: insertion order, keys equal as in Python (1 == True == 1.0).
struct Dict {
  std::vector<std::pair<Value, Value>> entries;
  std::unordered_map<std::string, size_t> index;
  int depth = 1;
  size_t bytes = 0;  // charged for its entries

  const Value* find(Budget& budget, const Value& key) const;
  /// For the name of an attribute or a variable.
  const Value* find(std::string_view name) const;
  /// Replaces the value of an equal key. False when the key is not hashable.
  bool set(Budget& budget, const Value& key, Value value);
};

/// What generators are in Python: can be walked once.
struct Iterator {
  std::vector<Value> items;
  size_t position = 0;
  int depth = 1;
};

struct Namespace {
  Dict attributes;
};

/// The state behind `loop`. `pull` gives the next element or nothing at the end.
struct Loop {
  std::function<std::optional<Value>()> pull;
  std::vector<Value> ahead = {};  // pulled, not yet current; next one last
  std::optional<Value> previous = {};
  std::optional<Value> current = {};
  std::vector<Value> changed = {};
  int64_t index = -1;
  int64_t depth = 0;
  bool has_changed = false;
};

struct MacroNode;
struct Scope;

/// A macro, a global function or a bound method.
struct Callable {
  enum class Kind { kMacro, kFunction, kMethod };
  Kind kind = Kind::kFunction;
  std::string name = {};
  Value self = {};                   // of a method
  const MacroNode* macro = nullptr;  // owned by the template
  Scope* scope = nullptr;            // where the macro was defined; owned by the renderer
};

/// Nesting of lists and dicts beyond this is refused, as recursion walks them.
constexpr int kMaxValueDepth = 100;

[[noreturn]] void fail_depth(const Budget& budget);

int depth_of(const Value& value);
/// These charge what an object takes beside its elements, which their builders have charged.
Value make_sequence(Budget& budget, Sequence::Kind kind, std::vector<Value> items);
inline Value make_list(Budget& budget, std::vector<Value> items) {
  return make_sequence(budget, Sequence::Kind::kList, std::move(items));
}
inline Value make_tuple(Budget& budget, std::vector<Value> items) {
  return make_sequence(budget, Sequence::Kind::kTuple, std::move(items));
}
Value make_dict(Budget& budget, Dict dict);
Value make_iterator(Budget& budget, std::vector<Value> items);

/// A text of its own, charged.
Value make_text(Budget& budget, std::string_view text);

/// Values of a list to be, charged one by one.
class ListBuilder {
 public:
  explicit ListBuilder(Budget& budget) : budget_(budget) { budget.make(kObjectBytes); }

  void add(Value value) {
    budget_.make(sizeof(Value));
    items_.push_back(std::move(value));
  }
  void add_text(std::string_view text) { add(make_text(budget_, text)); }
  void add_all(std::span<const Value> values);
  void reverse();
  size_t size() const { return items_.size(); }
  std::vector<Value> take() { return std::move(items_); }

 private:
  Budget& budget_;
  std::vector<Value> items_;
};

/// Python's type name, for messages.
std::string type_name(const Value& value);
bool truthy(const Value& value);
bool equal(Budget& budget, const Value& a, const Value& b);
/// Three-way comparison; empty where Python raises TypeError. NaN compares as neither: 2.
std::optional<int> compare(Budget& budget, const Value& a, const Value& b);

}  // namespace dms::text::jinja
