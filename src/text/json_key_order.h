#pragma once
// The keys of a JSON object in the order in which its file has them, which Json forgets. New tokens
// get their ids in that order.

#include <string>
#include <string_view>
#include <vector>

namespace dms::text {

struct JsonKeyOrder {
  std::vector<std::string> top;     // of the object itself
  std::vector<std::string> nested;  // of the object under `nested_key`
};

/// `text` is well-formed JSON of bounded depth (parse_json has read it).
JsonKeyOrder json_key_order(std::string_view text, std::string_view nested_key);

}  // namespace dms::text
