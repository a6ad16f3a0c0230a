#include "grammar/pattern_bytes.h"

#include <string>

namespace dms::grammar {

size_t pattern_bytes(const OrderedJson& value) {
  size_t bytes = 0;
  if (value.is_array()) {
    for (const OrderedJson& item : value) bytes += pattern_bytes(item);
  }
  if (!value.is_object()) return bytes;
  for (const auto& [key, item] : value.items()) {
    bytes += pattern_bytes(item);
    if (item.is_string() && (key == "pattern" || key == "grammar" || key == "regex")) {
      bytes += item.get_ref<const std::string&>().size();
    }
    if (key != "patternProperties" || !item.is_object()) continue;
    for (const auto& [pattern, schema] : item.items()) bytes += pattern.size();
  }
  return bytes;
}

}  // namespace dms::grammar
