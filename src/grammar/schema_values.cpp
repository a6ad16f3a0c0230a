#include "grammar/schema_values.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/utf8.h"
#include "dms/error.h"
#include "grammar/schema_rules.h"

namespace dms::grammar {
namespace {

/// xgrammar's integers have 64 bits: it would write others rounded.
void check_numbers(const OrderedJson& value,
                   const std::string& path,
                   const SchemaRefusal& refusal) {
  if (value.is_structured()) {
    for (const auto& [key, item] : value.items()) check_numbers(item, path + "/" + key, refusal);
  }
  if (!is_beyond_64_bits(value)) return;
  throw InputError({.field = refusal.where(),
                    .what = path + ": not a number that an answer is held to",
                    .got = value.dump(),
                    .expected = "64 bits"});
}

void check_type(const OrderedJson& values,
                const OrderedJson& type,
                const std::string& place,
                const SchemaRefusal& refusal) {
  const OrderedJson types = type.is_array() ? type : OrderedJson::array({type});
  for (const OrderedJson& value : values) {
    const bool fits = std::ranges::any_of(types, [&](const OrderedJson& name) {
      return name.is_string() && is_of_type(value, name.get<std::string>());
    });
    if (!fits) refusal.refuse(place, "has a value of another type");
  }
}

bool is_within(const OrderedJson& value, std::string_view keyword, const OrderedJson& bound) {
  if (keyword == "minLength" || keyword == "maxLength") {
    if (!value.is_string()) return true;
    const OrderedJson length = count_code_points(value.get_ref<const std::string&>());
    return keyword == "minLength" ? length >= bound : length <= bound;
  }
  if (!value.is_number()) return true;
  if (keyword == "minimum") return value >= bound;
  if (keyword == "maximum") return value <= bound;
  return keyword == "exclusiveMinimum" ? value > bound : value < bound;
}

/// Whether values can be held to the keyword by leaving out some.
bool is_filter(std::string_view keyword, const OrderedJson& bound) {
  constexpr std::array<std::string_view, 6> kFilters{
      "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"};
  return std::ranges::find(kFilters, keyword) != kFilters.end() && bound.is_number();
}

}  // namespace

void check_listed_values(OrderedJson& schema,
                         const std::string& decider,
                         const std::string& path,
                         const SchemaRefusal& refusal) {
  const std::string place = path + "/" + decider;
  const bool is_one = decider == "const";
  OrderedJson values = is_one ? OrderedJson::array({schema[decider]}) : schema[decider];
  if (!values.is_array()) refusal.refuse(place, "is no list of values");
  check_numbers(schema[decider], place, refusal);
  std::vector<std::string> filters;
  for (const auto& [key, value] : schema.items()) {
    if (key == decider || !is_constraint(key)) continue;
    if (key == "type") {
      check_type(values, value, place, refusal);
    } else if (is_filter(key, value)) {
      std::erase_if(values.get_ref<OrderedJson::array_t&>(),
                    [&](const OrderedJson& listed) { return !is_within(listed, key, value); });
      filters.push_back(key);
    } else {
      refusal.refuse_unenforced(path + "/" + key, fmt::format("{} stands beside it", decider));
    }
  }
  for (const std::string& key : filters) schema.erase(key);
  if (filters.empty()) return;
  if (values.empty())
    refusal.refuse(place, "has no value that is allowed by what stands beside it");
  if (!is_one) schema[decider] = std::move(values);
}

}  // namespace dms::grammar
