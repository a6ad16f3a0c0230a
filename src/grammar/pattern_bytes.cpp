#include "grammar/pattern_bytes.h"

#include <set>
#include <string>

namespace dms::grammar {
namespace {

/// Which xgrammar makes one rule of, however often it stands there.
bool is_part_of_tag(const OrderedJson& value) {
  const auto type = value.find("type");
  if (type == value.end() || !type->is_string()) return false;
  const auto& name = type->get_ref<const std::string&>();
  return name == "regex" || name == "json_schema";
}

size_t add(const OrderedJson& value, std::set<std::string>& parts) {
  size_t bytes = 0;
  if (value.is_array()) {
    for (const OrderedJson& item : value) bytes += add(item, parts);
  }
  if (!value.is_object()) return bytes;
  if (is_part_of_tag(value) && !parts.insert(value.dump()).second) return 0;
  for (const auto& [key, item] : value.items()) {
    bytes += add(item, parts);
    if (item.is_string() && (key == "pattern" || key == "grammar" || key == "regex")) {
      bytes += item.get_ref<const std::string&>().size();
    }
    if (key != "patternProperties" || !item.is_object()) continue;
    for (const auto& [pattern, schema] : item.items()) bytes += pattern.size();
  }
  return bytes;
}

}  // namespace

size_t pattern_bytes(const OrderedJson& value) {
  std::set<std::string> parts;
  return add(value, parts);
}

}  // namespace dms::grammar
