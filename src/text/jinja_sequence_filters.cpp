// Filters on lists, dicts and iterators (declared in jinja_filters.h).

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "text/jinja_filters.h"
#include "text/jinja_operators.h"
#include "text/jinja_text.h"

namespace dms::text::jinja {
namespace {

std::vector<Value> input_elements(const FilterCall& call) {
  return elements(call.runtime, call.value);
}

/// map and select take anything false, None above all, for empty.
std::vector<Value> elements_if_true(const FilterCall& call) {
  return truthy(call.value) ? input_elements(call) : std::vector<Value>{};
}

/// value.a.b or value[0] for the path "a.b" or 0; as items first, then attributes.
Value attribute_at(Runtime& runtime, const Value& value, const Value& path) {
  if (path.is_integral()) return item(runtime, value, path);
  std::string_view rest = path.string();
  Value current = value;
  while (true) {
    const size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    const bool number = !part.empty() && part.size() < 10 &&
                        part.find_first_not_of("0123456789") == std::string_view::npos;
    current =
        item(runtime,
             current,
             number ? Value(static_cast<int64_t>(std::stol(std::string(part)))) : Value(part));
    if (dot == std::string_view::npos) return current;
    rest.remove_prefix(dot + 1);
  }
}

/// The element's part that a filter with `attribute` and `case_sensitive` looks at.
class Key {
 public:
  Key(const FilterCall& call, size_t attribute_position, size_t case_position)
      : call_(call),
        path_(call.arguments.get(attribute_position, "attribute")),
        fold_(!call.arguments.flag_or(case_position, "case_sensitive", false)) {
    if (path_ != nullptr && path_->is_none()) path_ = nullptr;
    if (path_ == nullptr) return;
    if (!path_->is_string() && !path_->is_integral()) call.fail("bad attribute");
    if (path_->is_string() && path_->string().find(',') != std::string::npos) {
      call.fail("unsupported: several attributes");
    }
  }

  Value operator()(const Value& value) const {
    const Value key = path_ == nullptr ? value : attribute_at(call_.runtime, value, *path_);
    return fold_ && key.is_string() ? Value(to_lower(key.string())) : key;
  }

 private:
  const FilterCall& call_;
  const Value* path_;
  bool fold_;
};

bool less(const FilterCall& call, const Value& a, const Value& b) {
  return compare_by(call.runtime, "<", a, b);
}

/// A stable sort by precomputed keys: each pair is (key, value).
std::vector<Value> sorted(const FilterCall& call,
                          std::vector<std::pair<Value, Value>> pairs,
                          bool reverse) {
  const auto before = [&](const auto& a, const auto& b) {
    return reverse ? less(call, b.first, a.first) : less(call, a.first, b.first);
  };
  std::stable_sort(pairs.begin(), pairs.end(), before);
  std::vector<Value> values;
  for (auto& pair : pairs) values.push_back(std::move(pair.second));
  return values;
}

Value length_filter(const FilterCall& call) {
  call.expect({});
  const std::optional<int64_t> count = length(call.runtime, call.value);
  if (!count) call.fail("a " + type_name(call.value) + " has no length");
  return *count;
}

Value first_filter(const FilterCall& call) {
  call.expect({});
  if (Iterator* iterator = call.value.iterator()) {
    if (iterator->position == iterator->items.size()) return Value::undefined("no first item");
    return iterator->items[iterator->position++];
  }
  const std::vector<Value> items = input_elements(call);
  return items.empty() ? Value::undefined("no first item, the sequence was empty") : items.front();
}

void require_reversible(const FilterCall& call) {
  if (call.value.iterator() != nullptr) call.fail("a generator has no end to start from");
}

Value last_filter(const FilterCall& call) {
  call.expect({});
  require_reversible(call);
  const std::vector<Value> items = input_elements(call);
  return items.empty() ? Value::undefined("no last item, the sequence was empty") : items.back();
}

Value list_filter(const FilterCall& call) {
  call.expect({});
  return make_list(input_elements(call));
}

Value reverse_filter(const FilterCall& call) {
  call.expect({});
  std::vector<Value> items = input_elements(call);
  std::ranges::reverse(items);
  if (!call.value.is_string()) return make_iterator(std::move(items));
  std::string out;
  for (const Value& item : items) out += item.string();
  return out;
}

Value join_filter(const FilterCall& call) {
  call.expect({"d", "attribute"});
  const std::string separator = call.arguments.text_or(call.runtime, 0, "d", "");
  const Value* path = call.arguments.get(1, "attribute");
  std::string out;
  bool first = true;
  for (const Value& element : input_elements(call)) {
    call.runtime.made(separator.size());
    if (!std::exchange(first, false)) out += separator;
    const bool plain = path == nullptr || path->is_none();
    out += to_text(call.runtime, plain ? element : attribute_at(call.runtime, element, *path));
  }
  return out;
}

Value items_filter(const FilterCall& call) {
  call.expect({});
  if (call.value.is_undefined()) return make_iterator({});
  const Dict* dict = call.value.dict();
  if (dict == nullptr) call.fail("a mapping is needed, not " + type_name(call.value));
  std::vector<Value> pairs;
  for (const auto& [key, value] : dict->entries) pairs.push_back(make_tuple({key, value}));
  call.runtime.step(static_cast<int64_t>(pairs.size()));
  return make_iterator(std::move(pairs));
}

Value dictsort_filter(const FilterCall& call) {
  call.expect({"case_sensitive", "by", "reverse"});
  const Dict* dict = call.value.dict();
  if (dict == nullptr) call.fail("a mapping is needed, not " + type_name(call.value));
  const std::string by = call.arguments.text_or(call.runtime, 1, "by", "key");
  if (by != "key" && by != "value") call.fail("'by' must be key or value");
  const bool fold = !call.arguments.flag_or(0, "case_sensitive", false);
  std::vector<std::pair<Value, Value>> pairs;
  for (const auto& [key, value] : dict->entries) {
    const Value& chosen = by == "key" ? key : value;
    pairs.emplace_back(fold && chosen.is_string() ? Value(to_lower(chosen.string())) : chosen,
                       make_tuple({key, value}));
  }
  return make_list(sorted(call, std::move(pairs), call.arguments.flag_or(2, "reverse", false)));
}

Value sort_filter(const FilterCall& call) {
  call.expect({"reverse", "case_sensitive", "attribute"});
  const Key key(call, 2, 1);
  std::vector<std::pair<Value, Value>> pairs;
  // Keys are compared as lists of one, as in jinja2: equal ones need no order.
  for (const Value& element : input_elements(call)) {
    pairs.emplace_back(make_list({key(element)}), element);
  }
  return make_list(sorted(call, std::move(pairs), call.arguments.flag_or(0, "reverse", false)));
}

Value unique_filter(const FilterCall& call) {
  call.expect({"case_sensitive", "attribute"});
  const Key key(call, 1, 0);
  Dict seen;
  std::vector<Value> values;
  for (const Value& element : input_elements(call)) {
    const Value chosen = key(element);
    if (seen.find(chosen) != nullptr) continue;
    if (!seen.set(chosen, None{})) call.fail("a " + type_name(chosen) + " cannot be compared");
    values.push_back(element);
  }
  return make_iterator(std::move(values));
}

Value extreme_filter(const FilterCall& call) {
  call.expect({"case_sensitive", "attribute"});
  const Key key(call, 1, 0);
  const std::vector<Value> items = input_elements(call);
  if (items.empty()) return Value::undefined("no aggregated item, the sequence was empty");
  const Value* best = &items[0];
  Value best_key = key(items[0]);
  for (const Value& element : std::span(items).subspan(1)) {
    const Value other = key(element);
    const bool better =
        call.name == "min" ? less(call, other, best_key) : less(call, best_key, other);
    if (!better) continue;
    best = &element;
    best_key = other;
  }
  return *best;
}

Value sum_filter(const FilterCall& call) {
  call.expect({"attribute", "start"});
  const Value* path = call.arguments.get(0, "attribute");
  const Value* start = call.arguments.get(1, "start");
  Value total = start == nullptr ? Value(int64_t{0}) : *start;
  for (const Value& element : input_elements(call)) {
    const bool plain = path == nullptr || path->is_none();
    if (total.is_string()) call.fail("cannot add texts; use join");
    total = binary(
        call.runtime, "+", total, plain ? element : attribute_at(call.runtime, element, *path));
  }
  return total;
}

Value batch_filter(const FilterCall& call) {
  call.expect({"linecount", "fill_with"}, 1);
  const int64_t size = call.arguments.integer_or(call.runtime, 0, "linecount", 0);
  if (size <= 0) call.fail("the size must be positive");
  const Value* fill = call.arguments.get(1, "fill_with");
  const bool fills = fill != nullptr && !fill->is_none();
  std::vector<Value> batches;
  std::vector<Value> batch;
  for (const Value& element : input_elements(call)) {
    if (std::cmp_equal(batch.size(), size)) batches.push_back(make_list(std::exchange(batch, {})));
    batch.push_back(element);
  }
  if (batch.empty()) return make_iterator(std::move(batches));
  while (fills && std::cmp_less(batch.size(), size)) {
    call.runtime.step();
    batch.push_back(*fill);
  }
  batches.push_back(make_list(std::move(batch)));
  return make_iterator(std::move(batches));
}

const std::string& name_argument(const FilterCall& call, size_t position) {
  const std::vector<Value>& positional = call.arguments.positional;
  if (positional.size() <= position || !positional[position].is_string()) {
    call.fail("the name of a filter, test or attribute is needed");
  }
  return positional[position].string();
}

Value map_filter(const FilterCall& call) {
  std::vector<Value> values;
  const Value* path = call.arguments.find("attribute");
  const bool by_attribute = call.arguments.positional.empty() && path != nullptr;
  if (by_attribute && !path->is_string() && !path->is_integral()) call.fail("bad attribute");
  const Value* fallback = call.arguments.find("default");
  const std::vector<Value> items = elements_if_true(call);
  for (const Value& element : items) {
    if (!by_attribute) {
      const std::string& filter = name_argument(call, 0);
      values.push_back(apply_filter(call.runtime, filter, element, call.arguments.rest(1)));
      continue;
    }
    Value value = attribute_at(call.runtime, element, *path);
    const bool replaced = value.is_undefined() && fallback != nullptr;
    values.push_back(replaced ? *fallback : std::move(value));
  }
  return make_iterator(std::move(values));
}

Value select_filter(const FilterCall& call) {
  const bool by_attribute = call.name.ends_with("attr");
  const bool wanted = call.name.starts_with("select");
  const size_t test_at = by_attribute ? 1 : 0;
  if (by_attribute && call.arguments.positional.empty()) call.fail("an attribute is needed");
  std::vector<Value> values;
  for (const Value& element : elements_if_true(call)) {
    const Value tested =
        by_attribute ? attribute_at(call.runtime, element, Value(name_argument(call, 0))) : element;
    const bool holds = call.arguments.positional.size() > test_at
                           ? apply_test(call.runtime,
                                        name_argument(call, test_at),
                                        tested,
                                        call.arguments.rest(test_at + 1))
                           : truthy(tested);
    if (holds == wanted) values.push_back(element);
  }
  return make_iterator(std::move(values));
}

constexpr std::array<std::pair<std::string_view, Filter>, 20> kFilters{{
    {"batch", batch_filter},   {"count", length_filter},      {"dictsort", dictsort_filter},
    {"first", first_filter},   {"items", items_filter},       {"join", join_filter},
    {"last", last_filter},     {"length", length_filter},     {"list", list_filter},
    {"map", map_filter},       {"max", extreme_filter},       {"min", extreme_filter},
    {"reject", select_filter}, {"rejectattr", select_filter}, {"reverse", reverse_filter},
    {"select", select_filter}, {"selectattr", select_filter}, {"sort", sort_filter},
    {"sum", sum_filter},       {"unique", unique_filter},
}};

}  // namespace

Filter find_sequence_filter(std::string_view name) {
  const auto it = std::ranges::find(kFilters, name, [](const auto& f) { return f.first; });
  return it == kFilters.end() ? nullptr : it->second;
}

}  // namespace dms::text::jinja
