#include "serve/format_parts.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "dms/structure.h"

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

/// Of sequences one: tags may not be deep.
OutJson sequence(std::vector<OutJson> parts) {
  std::vector<OutJson> flat;
  for (OutJson& part : parts) {
    if (part["type"] != "sequence") {
      flat.push_back(std::move(part));
      continue;
    }
    for (OutJson& element : part["elements"]) flat.push_back(std::move(element));
  }
  return with_parts("sequence", std::move(flat));
}

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

/// Where all may be missing the list is one from each of them on.
OutJson list(std::span<const Item> items, std::string_view separator) {
  const auto required = std::ranges::find_if(items, &Item::is_required);
  if (required != items.end()) {
    const auto first = static_cast<size_t>(required - items.begin());
    std::vector<OutJson> parts;
    for (const Item& item : items.first(first)) {
      parts.push_back(optional(sequence({item.format, constant(separator)})));
    }
    parts.push_back(from_first(items.subspan(first), separator));
    return sequence(std::move(parts));
  }
  size_t bytes = 0;
  for (const Item& item : items) bytes += json_text(item.format).size();
  if (bytes * items.size() / 2 > kMostTagBytes) {
    throw ApiError(400, "tools: too many parameters of a function may be left out", "tools");
  }
  std::vector<OutJson> lists;
  for (size_t i = 0; i < items.size(); ++i) {
    lists.push_back(from_first(items.subspan(i), separator));
  }
  return lists.empty() ? constant("") : optional(one_of(std::move(lists)));
}

}  // namespace dms::serve::format_parts
