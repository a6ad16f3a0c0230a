#include "text/jinja_value.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "dms/error.h"
#include "text/jinja_text.h"

namespace dms::text::jinja {
namespace {

constexpr int kUnordered = 2;

/// A text that is equal for equal keys; empty when the value is not hashable.
std::string hash_text(const Value& key) {
  if (key.is_string()) return "s" + key.string();
  if (key.is_none()) return "0";
  if (key.is_integral()) return "n" + std::to_string(key.integer());
  if (const double* number = key.get<double>()) {
    const bool whole = std::abs(*number) < 9e15 && std::floor(*number) == *number;
    return "n" + (whole ? std::to_string(static_cast<int64_t>(*number)) : float_text(*number));
  }
  const Sequence* tuple = key.sequence();
  if (tuple == nullptr || tuple->kind != Sequence::Kind::kTuple) return {};
  std::string text = "t";
  for (const Value& item : tuple->items) {
    const std::string part = hash_text(item);
    if (part.empty()) return {};
    text += std::to_string(part.size()) + ":" + part;
  }
  return text;
}

void check_depth(int depth) {
  if (depth <= kMaxValueDepth) return;
  throw InputError({.where = "chat template",
                    .what = "values nested too deeply",
                    .expected = "at most " + std::to_string(kMaxValueDepth) + " levels"});
}

int depth_above(const std::vector<Value>& items) {
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, depth_of(item));
  check_depth(depth + 1);
  return depth + 1;
}

bool equal_dicts(const Dict& a, const Dict& b) {
  return a.entries.size() == b.entries.size() && std::ranges::all_of(a.entries, [&](const auto& e) {
           const Value* other = b.find(e.first);
           return other != nullptr && equal(e.second, *other);
         });
}

bool equal_sequences(const Sequence& a, const Sequence& b) {
  return a.kind == b.kind && std::ranges::equal(a.items, b.items, equal);
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

std::optional<int> compare_sequences(const Sequence& a, const Sequence& b) {
  for (size_t i = 0; i < std::min(a.items.size(), b.items.size()); ++i) {
    if (!equal(a.items[i], b.items[i])) return compare(a.items[i], b.items[i]);
  }
  return compare(static_cast<int64_t>(a.items.size()), static_cast<int64_t>(b.items.size()));
}

}  // namespace

const Value* Dict::find(const Value& key) const {
  const std::string text = hash_text(key);
  const auto it = index.find(text);
  return text.empty() || it == index.end() ? nullptr : &entries[it->second].second;
}

const Value* Dict::find(std::string_view key) const {
  const auto it = index.find("s" + std::string(key));
  return it == index.end() ? nullptr : &entries[it->second].second;
}

bool Dict::set(const Value& key, Value value) {
  std::string text = hash_text(key);
  if (text.empty()) return false;
  depth = std::max(depth, 1 + std::max(depth_of(value), depth_of(key)));
  check_depth(depth);
  const auto [it, added] = index.try_emplace(std::move(text), entries.size());
  if (added) {
    entries.emplace_back(key, std::move(value));
  } else {
    entries[it->second].second = std::move(value);
  }
  return true;
}

int depth_of(const Value& value) {
  if (const Sequence* sequence = value.sequence()) return sequence->depth;
  if (const Dict* dict = value.dict()) return dict->depth;
  if (const Iterator* iterator = value.iterator()) return iterator->depth;
  if (const Callable* callable = value.callable()) return 1 + depth_of(callable->self);
  return 0;
}

Value make_sequence(Sequence::Kind kind, std::vector<Value> items) {
  const int depth = depth_above(items);
  return std::make_shared<const Sequence>(Sequence{kind, std::move(items), depth});
}

Value make_dict(Dict dict) { return std::make_shared<const Dict>(std::move(dict)); }

Value make_iterator(std::vector<Value> items) {
  const int depth = depth_above(items);
  return std::make_shared<Iterator>(Iterator{std::move(items), 0, depth});
}

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

bool equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return compare_numbers(a, b) == 0;
  if (a.data().index() != b.data().index()) return false;
  if (a.is_undefined() || a.is_none()) return true;
  if (a.is_string()) return a.string() == b.string();
  if (a.sequence() != nullptr) return equal_sequences(*a.sequence(), *b.sequence());
  if (a.dict() != nullptr) return equal_dicts(*a.dict(), *b.dict());
  if (a.iterator() != nullptr) return a.iterator() == b.iterator();
  if (a.name_space() != nullptr) return a.name_space() == b.name_space();
  return a.loop() != nullptr ? a.loop() == b.loop() : a.callable() == b.callable();
}

std::optional<int> compare(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return compare_numbers(a, b);
  if (a.is_string() && b.is_string()) {
    const int order = a.string().compare(b.string());  // UTF-8 sorts as code points do
    return order < 0 ? -1 : static_cast<int>(order > 0);
  }
  const Sequence* x = a.sequence();
  const Sequence* y = b.sequence();
  const bool ordered = x != nullptr && y != nullptr && x->kind == y->kind &&
                       (x->kind == Sequence::Kind::kList || x->kind == Sequence::Kind::kTuple);
  return ordered ? compare_sequences(*x, *y) : std::nullopt;
}

}  // namespace dms::text::jinja
