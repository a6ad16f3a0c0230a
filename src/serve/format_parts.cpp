#include "serve/format_parts.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace dms::serve::format_parts {
namespace {

constexpr int kMostBlanks = 8;  // between two values of JSON

OutJson with_parts(std::string_view type, std::vector<OutJson> parts) {
  if (parts.size() == 1) return std::move(parts.front());
  return {{"type", type}, {"elements", std::move(parts)}};
}

/// ITEM (SEPARATOR ITEM)*, the later ones where they must or may be there.
OutJson from_first(std::span<const Item> items, std::string_view separator) {
  std::vector<OutJson> parts{items.front().format};
  for (const Item& item : items.subspan(1)) {
    OutJson next = sequence({constant(separator), item.format});
    parts.push_back(item.is_required ? std::move(next) : optional(std::move(next)));
  }
  return sequence(std::move(parts));
}

}  // namespace

OutJson constant(std::string_view text) { return {{"type", "const_string"}, {"value", text}}; }

OutJson sequence(std::vector<OutJson> parts) { return with_parts("sequence", std::move(parts)); }

OutJson one_of(std::vector<OutJson> parts) { return with_parts("or", std::move(parts)); }

OutJson optional(OutJson part) { return {{"type", "optional"}, {"content", std::move(part)}}; }

OutJson repeated(OutJson part, int64_t least, int64_t most) {
  return {{"type", "repeat"}, {"min", least}, {"max", most}, {"content", std::move(part)}};
}

OutJson text_without(std::vector<std::string_view> texts) {
  return {{"type", "any_text"}, {"excludes", std::move(texts)}};
}

OutJson json_value(OutJson schema, bool is_strict) {
  return {{"type", "json_schema"},
          {"json_schema", std::move(schema)},
          {"strict", is_strict},
          {"style", "json"},
          {"max_whitespace_cnt", kMostBlanks}};
}

/// The first that is there is the first required one or one before it.
OutJson list(std::span<const Item> items, std::string_view separator) {
  std::vector<OutJson> lists;
  for (size_t i = 0; i < items.size(); ++i) {
    lists.push_back(from_first(items.subspan(i), separator));
    if (items[i].is_required) return one_of(std::move(lists));
  }
  return lists.empty() ? constant("") : optional(one_of(std::move(lists)));
}

}  // namespace dms::serve::format_parts
