// Filters on lists, dicts and iterators (declared in builtins.h).

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>

#include "text/jinja/builtins.h"
#include "text/jinja/text.h"

namespace dms::text::jinja {
namespace {

Elements input_elements(const FilterCall& call) { return {call.runtime, call.value}; }

/// map and select take anything false, None above all, for empty.
Elements elements_if_true(const FilterCall& call) {
  return truthy(call.value) ? input_elements(call) : Elements(call.runtime, Value());
}

/// value.a.b or value[0] for the path "a.b" or 0; as items first, then attributes.
Value attribute_at(Runtime& runtime, const Value& value, const Value& path) {
  if (path.is_integral()) return item(runtime, value, path);
  std::string_view rest = path.string();
  runtime.scan(rest.size());
  Value current = value;
  while (true) {
    const size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    const bool number = !part.empty() && part.size() < 10 &&
                        part.find_first_not_of("0123456789") == std::string_view::npos;
    current = item(runtime,
                   current,
                   number ? Value(static_cast<int64_t>(std::stol(std::string(part))))
                          : make_text(runtime, part));
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
    return fold_ ? folded(call_.runtime, key) : key;
  }

  static Value folded(Runtime& runtime, const Value& value) {
    if (!value.is_string()) return value;
    runtime.scan(value.string().size());
    runtime.make(kObjectBytes + value.string().size());
    return to_lower(value.string());
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
  call.runtime.make(pairs.size() * 3 * sizeof(Value));
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

/// The first or the last element, where nothing is used up.
Value end_item(const FilterCall& call, bool first) {
  if (const Sequence* sequence = call.value.sequence(); sequence && !sequence->items.empty()) {
    return first ? sequence->items.front() : sequence->items.back();
  }
  const Elements items = input_elements(call);
  if (!items.empty()) return first ? items[0] : items[items.size() - 1];
  return call.runtime.undefined(first ? "no first item, the sequence was empty"
                                      : "no last item, the sequence was empty");
}

Value first_filter(const FilterCall& call) {
  call.expect({});
  if (Iterator* iterator = call.value.iterator()) {
    if (iterator->position == iterator->items.size()) {
      return call.runtime.undefined("no first item");
    }
    return iterator->items[iterator->position++];
  }
  return end_item(call, true);
}

void require_reversible(const FilterCall& call) {
  if (call.value.iterator() != nullptr) call.fail("a generator has no end to start from");
}

Value last_filter(const FilterCall& call) {
  call.expect({});
  require_reversible(call);
  return end_item(call, false);
}

Value list_filter(const FilterCall& call) {
  call.expect({});
  ListBuilder items(call.runtime);
  items.add_all(input_elements(call).span());
  return make_list(call.runtime, items.take());
}

Value reverse_filter(const FilterCall& call) {
  call.expect({});
  ListBuilder reversed(call.runtime);
  reversed.add_all(input_elements(call).span());
  reversed.reverse();
  std::vector<Value> items = reversed.take();
  if (!call.value.is_string()) return make_iterator(call.runtime, std::move(items));
  TextBuilder out(call.runtime);
  for (const Value& item : items) out.add(item.string());
  return out.take();
}

Value join_filter(const FilterCall& call) {
  call.expect({"d", "attribute"});
  const std::string separator = call.arguments.text_or(call.runtime, 0, "d", "");
  const Value* path = call.arguments.get(1, "attribute");
  TextBuilder out(call.runtime);
  bool first = true;
  const Elements parts = input_elements(call);
  for (const Value& element : parts) {
    if (!std::exchange(first, false)) out.add(separator);
    const bool plain = path == nullptr || path->is_none();
    add_text(call.runtime, out, plain ? element : attribute_at(call.runtime, element, *path));
  }
  return out.take();
}

Value pair_of(Runtime& runtime, const std::pair<Value, Value>& entry) {
  runtime.step();
  runtime.make(2 * sizeof(Value));
  return jinja::make_tuple(runtime, {entry.first, entry.second});
}

Value items_filter(const FilterCall& call) {
  call.expect({});
  if (call.value.is_undefined()) return make_iterator(call.runtime, {});
  const Dict* dict = call.value.dict();
  if (dict == nullptr) call.fail("a mapping is needed, not " + type_name(call.value));
  ListBuilder pairs(call.runtime);
  for (const auto& entry : dict->entries) pairs.add(pair_of(call.runtime, entry));
  return make_iterator(call.runtime, pairs.take());
}

Value dictsort_filter(const FilterCall& call) {
  call.expect({"case_sensitive", "by", "reverse"});
  const Dict* dict = call.value.dict();
  if (dict == nullptr) call.fail("a mapping is needed, not " + type_name(call.value));
  const std::string by = call.arguments.text_or(call.runtime, 1, "by", "key");
  if (by != "key" && by != "value") call.fail("'by' must be key or value");
  const bool fold = !call.arguments.flag_or(0, "case_sensitive", false);
  std::vector<std::pair<Value, Value>> pairs;
  for (const auto& entry : dict->entries) {
    const Value& chosen = by == "key" ? entry.first : entry.second;
    pairs.emplace_back(fold ? Key::folded(call.runtime, chosen) : chosen,
                       pair_of(call.runtime, entry));
  }
  return make_list(call.runtime,
                   sorted(call, std::move(pairs), call.arguments.flag_or(2, "reverse", false)));
}

Value sort_filter(const FilterCall& call) {
  call.expect({"reverse", "case_sensitive", "attribute"});
  const Key key(call, 2, 1);
  std::vector<std::pair<Value, Value>> pairs;
  // Keys are compared as lists of one, as in jinja2: equal ones need no order.
  const Elements items = input_elements(call);
  for (const Value& element : items) {
    pairs.emplace_back(make_list(call.runtime, {key(element)}), element);
  }
  return make_list(call.runtime,
                   sorted(call, std::move(pairs), call.arguments.flag_or(0, "reverse", false)));
}

Value unique_filter(const FilterCall& call) {
  call.expect({"case_sensitive", "attribute"});
  const Key key(call, 1, 0);
  Dict seen;
  ListBuilder values(call.runtime);
  const Elements items = input_elements(call);
  for (const Value& element : items) {
    const Value chosen = key(element);
    if (seen.find(call.runtime, chosen) != nullptr) continue;
    if (!seen.set(call.runtime, chosen, None{})) {
      call.fail("a " + type_name(chosen) + " cannot be compared");
    }
    values.add(element);
  }
  return make_iterator(call.runtime, values.take());
}

Value extreme_filter(const FilterCall& call) {
  call.expect({"case_sensitive", "attribute"});
  const Key key(call, 1, 0);
  const Elements items = input_elements(call);
  if (items.empty()) return call.runtime.undefined("no aggregated item, the sequence was empty");
  const Value* best = &items[0];
  Value best_key = key(items[0]);
  for (const Value& element : items.span().subspan(1)) {
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
  const Elements items = input_elements(call);
  for (const Value& element : items) {
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
  ListBuilder batches(call.runtime);
  std::optional<ListBuilder> batch;
  const Elements items = input_elements(call);
  for (const Value& element : items) {
    if (batch && std::cmp_equal(batch->size(), size)) {
      batches.add(make_list(call.runtime, batch->take()));
      batch.reset();
    }
    if (!batch) batch.emplace(call.runtime);
    batch->add(element);
  }
  if (!batch) return make_iterator(call.runtime, batches.take());
  while (fills && std::cmp_less(batch->size(), size)) {
    call.runtime.step();
    batch->add(*fill);
  }
  batches.add(make_list(call.runtime, batch->take()));
  return make_iterator(call.runtime, batches.take());
}

const std::string& name_argument(const FilterCall& call, size_t position) {
  const std::vector<Value>& positional = call.arguments.positional;
  if (positional.size() <= position || !positional[position].is_string()) {
    call.fail("the name of a filter, test or attribute is needed");
  }
  return positional[position].string();
}

Arguments rest_of(const FilterCall& call, size_t first) {
  call.runtime.step(std::ssize(call.arguments.positional) + std::ssize(call.arguments.named));
  return call.arguments.rest(first);
}

Value map_filter(const FilterCall& call) {
  ListBuilder values(call.runtime);
  const Value* path = call.arguments.find("attribute");
  const bool by_attribute = call.arguments.positional.empty() && path != nullptr;
  if (by_attribute && !path->is_string() && !path->is_integral()) call.fail("bad attribute");
  const Value* fallback = call.arguments.find("default");
  const Elements items = elements_if_true(call);
  const Arguments others = rest_of(call, 1);
  for (const Value& element : items) {
    if (!by_attribute) {
      values.add(apply_filter(call.runtime, name_argument(call, 0), element, others));
      continue;
    }
    Value value = attribute_at(call.runtime, element, *path);
    const bool replaced = value.is_undefined() && fallback != nullptr;
    values.add(replaced ? *fallback : std::move(value));
  }
  return make_iterator(call.runtime, values.take());
}

Value select_filter(const FilterCall& call) {
  const bool by_attribute = call.name.ends_with("attr");
  const bool wanted = call.name.starts_with("select");
  const size_t test_at = by_attribute ? 1 : 0;
  if (by_attribute && call.arguments.positional.empty()) call.fail("an attribute is needed");
  const bool has_test = call.arguments.positional.size() > test_at;
  const Arguments others = rest_of(call, test_at + 1);
  ListBuilder values(call.runtime);
  const Elements items = elements_if_true(call);
  const Value path = by_attribute && !items.empty() ? Value(name_argument(call, 0)) : Value();
  for (const Value& element : items) {
    const Value tested = by_attribute ? attribute_at(call.runtime, element, path) : element;
    const bool holds = has_test
                           ? apply_test(call.runtime, name_argument(call, test_at), tested, others)
                           : truthy(tested);
    if (holds == wanted) values.add(element);
  }
  return make_iterator(call.runtime, values.take());
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
