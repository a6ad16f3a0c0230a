#include "text/jinja/value.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "text/jinja/text.h"

namespace dms::text::jinja {
namespace {

constexpr int kUnordered = 2;

/// Appends a text that is equal for equal keys; false when the value is not hashable. Tuples can
/// share their parts, so that what they spell out has no bound but the budget.
bool append_key(Budget& budget, std::string& out, const Value& key, bool in_tuple = false) {
  budget.step();
  if (key.is_string()) {
    budget.scan(key.string().size());
    if (in_tuple) budget.make(key.string().size());
    out += "s" + std::to_string(key.string().size()) + ":" + key.string();
    return true;
  }
  if (in_tuple) budget.make(kObjectBytes);
  if (key.is_none()) {
    out += "0";
  } else if (key.is_integral()) {
    out += "n" + std::to_string(key.integer()) + ";";
  } else if (const double* number = key.get<double>()) {
    const bool whole = std::abs(*number) < 9e15 && std::floor(*number) == *number;
    out +=
        "n" + (whole ? std::to_string(static_cast<int64_t>(*number)) : float_text(*number)) + ";";
  } else {
    const Sequence* tuple = key.sequence();
    if (tuple == nullptr || tuple->kind != Sequence::Kind::kTuple) return false;
    out += "t" + std::to_string(tuple->items.size()) + ":";
    return std::ranges::all_of(
        tuple->items, [&](const Value& item) { return append_key(budget, out, item, true); });
  }
  return true;
}

void check_depth(const Budget& budget, int depth) {
  if (depth > kMaxValueDepth) fail_depth(budget);
}

int depth_above(const Budget& budget, const std::vector<Value>& items) {
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, depth_of(item));
  check_depth(budget, depth + 1);
  return depth + 1;
}

bool equal_dicts(Budget& budget, const Dict& a, const Dict& b) {
  return a.entries.size() == b.entries.size() && std::ranges::all_of(a.entries, [&](const auto& e) {
           const Value* other = b.find(budget, e.first);
           return other != nullptr && equal(budget, e.second, *other);
         });
}

bool equal_sequences(Budget& budget, const Sequence& a, const Sequence& b) {
  const auto same = [&](const Value& x, const Value& y) { return equal(budget, x, y); };
  return a.kind == b.kind && std::ranges::equal(a.items, b.items, same);
}

bool equal_strings(Budget& budget, const std::string& a, const std::string& b) {
  if (a.size() != b.size()) return false;
  budget.scan(a.size());
  return a == b;
}

std::optional<int> compare_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) {
    return a.integer() < b.integer() ? -1 : static_cast<int>(a.integer() > b.integer());
  }
  const double x = a.number();
  const double y = b.number();
  if (std::isnan(x) || std::isnan(y)) return kUnordered;
  return x < y ? -1 : static_cast<int>(x > y);
}

std::optional<int> compare_sequences(Budget& budget, const Sequence& a, const Sequence& b) {
  for (size_t i = 0; i < std::min(a.items.size(), b.items.size()); ++i) {
    if (!equal(budget, a.items[i], b.items[i])) return compare(budget, a.items[i], b.items[i]);
  }
  return compare_numbers(static_cast<int64_t>(a.items.size()),
                         static_cast<int64_t>(b.items.size()));
}

}  // namespace

const Value* Dict::find(Budget& budget, const Value& key) const {
  std::string text;
  if (!append_key(budget, text, key)) return nullptr;
  const auto it = index.find(text);
  return it == index.end() ? nullptr : &entries[it->second].second;
}

const Value* Dict::find(std::string_view name) const {
  const auto it = index.find("s" + std::to_string(name.size()) + ":" + std::string(name));
  return it == index.end() ? nullptr : &entries[it->second].second;
}

bool Dict::set(Budget& budget, const Value& key, Value value) {
  std::string text;
  if (!append_key(budget, text, key)) return false;
  depth = std::max(depth, 1 + std::max(depth_of(value), depth_of(key)));
  check_depth(budget, depth);
  const auto [it, added] = index.try_emplace(std::move(text), entries.size());
  if (!added) {
    entries[it->second].second = std::move(value);
    return true;
  }
  const size_t taken = 2 * kObjectBytes + 2 * sizeof(Value) + it->first.size();
  budget.make(taken);
  bytes += taken;
  entries.emplace_back(key, std::move(value));
  return true;
}

void fail_depth(const Budget& budget) {
  budget.fail("values nested too deeply (expected at most " + std::to_string(kMaxValueDepth) +
              " levels)");
}

int depth_of(const Value& value) {
  if (const Sequence* sequence = value.sequence()) return sequence->depth;
  if (const Dict* dict = value.dict()) return dict->depth;
  if (const Iterator* iterator = value.iterator()) return iterator->depth;
  if (const Callable* callable = value.callable()) return 1 + depth_of(callable->self);
  return 0;
}

Value make_sequence(Budget& budget, Sequence::Kind kind, std::vector<Value> items) {
  budget.make(kObjectBytes);
  const int depth = depth_above(budget, items);
  return std::make_shared<const Sequence>(Sequence{kind, std::move(items), depth});
}

Value make_dict(Budget& budget, Dict dict) {
  budget.make(2 * kObjectBytes);
  return std::make_shared<const Dict>(std::move(dict));
}

Value make_iterator(Budget& budget, std::vector<Value> items) {
  budget.make(kObjectBytes);
  const int depth = depth_above(budget, items);
  return std::make_shared<Iterator>(Iterator{std::move(items), 0, depth});
}

Value make_text(Budget& budget, std::string_view text) {
  budget.make(kObjectBytes + text.size());
  return text;
}

void ListBuilder::add_all(std::span<const Value> values) {
  budget_.step(static_cast<int64_t>(values.size()));
  budget_.make(values.size_bytes());
  items_.insert(items_.end(), values.begin(), values.end());
}

void ListBuilder::reverse() { std::ranges::reverse(items_); }

std::string type_name(const Value& value) {
  if (const Sequence* sequence = value.sequence()) {
    constexpr std::array<const char*, 6> kNames{
        "list", "tuple", "range", "dict_keys", "dict_values", "dict_items"};
    return kNames[static_cast<size_t>(sequence->kind)];
  }
  constexpr std::array<const char*, 12> kNames{"undefined",
                                               "None",
                                               "bool",
                                               "int",
                                               "float",
                                               "str",
                                               "list",
                                               "dict",
                                               "generator",
                                               "namespace",
                                               "loop",
                                               "function"};
  return kNames[value.data().index()];
}

bool truthy(const Value& value) {
  if (value.is_undefined() || value.is_none()) return false;
  if (value.is_number()) return value.number() != 0;
  if (value.is_string()) return !value.string().empty();
  if (const Sequence* sequence = value.sequence()) return !sequence->items.empty();
  if (const Dict* dict = value.dict()) return !dict->entries.empty();
  return true;
}

bool equal(Budget& budget, const Value& a, const Value& b) {
  budget.step();
  if (a.is_number() && b.is_number()) return compare_numbers(a, b) == 0;
  if (a.data().index() != b.data().index()) return false;
  if (a.is_undefined() || a.is_none()) return true;
  if (a.is_string()) return equal_strings(budget, a.string(), b.string());
  if (a.sequence() != nullptr) return equal_sequences(budget, *a.sequence(), *b.sequence());
  if (a.dict() != nullptr) return equal_dicts(budget, *a.dict(), *b.dict());
  if (a.iterator() != nullptr) return a.iterator() == b.iterator();
  if (a.name_space() != nullptr) return a.name_space() == b.name_space();
  return a.loop() != nullptr ? a.loop() == b.loop() : a.callable() == b.callable();
}

std::optional<int> compare(Budget& budget, const Value& a, const Value& b) {
  budget.step();
  if (a.is_number() && b.is_number()) return compare_numbers(a, b);
  if (a.is_string() && b.is_string()) {
    budget.scan(std::min(a.string().size(), b.string().size()));
    const int order = a.string().compare(b.string());  // UTF-8 sorts as code points do
    return order < 0 ? -1 : static_cast<int>(order > 0);
  }
  const Sequence* x = a.sequence();
  const Sequence* y = b.sequence();
  const bool ordered = x != nullptr && y != nullptr && x->kind == y->kind &&
                       (x->kind == Sequence::Kind::kList || x->kind == Sequence::Kind::kTuple);
  return ordered ? compare_sequences(budget, *x, *y) : std::nullopt;
}

}  // namespace dms::text::jinja
