// Input: a byte that says how often the rest is repeated between a first and a last part (parted by
// zero bytes), so that few bytes make long texts. Trees and ids that are read from the text are
// those of the library's own parser, and no more is done than the text has bytes.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/token_ids.h"
#include "dms/error.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

/// Counts what is done for a text.
class Counter final : public dms::JsonEvents {
 public:
  int64_t events = 0;

  void null() override { ++events; }
  void boolean(bool) override { ++events; }
  void integer(int64_t) override { ++events; }
  void natural(uint64_t) override { ++events; }
  void number(double, const std::string&) override { ++events; }
  void string(std::string&) override { ++events; }
  void begin_object() override { ++events; }
  void key(std::string&) override { ++events; }
  void end_object() override { ++events; }
  void begin_array() override { ++events; }
  void end_array() override { ++events; }
};

std::string repeated(std::string_view input) {
  if (input.empty()) return {};
  const size_t times = size_t{1} << (static_cast<unsigned char>(input.front()) % 16);
  input.remove_prefix(1);
  const size_t first = std::min(input.find('\0'), input.size());
  const size_t last = std::min(input.find('\0', first + 1), input.size());
  if (last == input.size()) return std::string(input);
  const std::string_view middle = input.substr(first + 1, last - first - 1);
  std::string text(input.substr(0, first));
  for (size_t i = 0; i < times && text.size() < (size_t{1} << 20); ++i) text += middle;
  return text += input.substr(last + 1);
}

bool has_pythons_numbers(const std::string& text) {
  return text.find("NaN") != text.npos || text.find("Infinity") != text.npos;
}

/// How deep the library's tree is, as far as matters.
int depth_of(const dms::Json& value, int limit) {
  if (!value.is_structured() || limit == 0) return 0;
  int depth = 0;
  for (const dms::Json& child : value) depth = std::max(depth, depth_of(child, limit - 1));
  return depth + 1;
}

void check_ids(const std::string& text, const dms::Json& tree) {
  const dms::Json* list = &tree;
  if (tree.is_object() && tree.contains("ids")) list = &tree["ids"];
  try {
    const std::vector<int32_t> ids = dms::parse_ids(text, "fuzz");
    require(dms::integer_array(*list, INT32_MAX, "fuzz") == ids);
  } catch (const dms::InputError&) {
  }
}

void check_tree(const std::string& text) {
  const dms::Json expected = dms::Json::parse(text, nullptr, false);
  const bool is_good = !expected.is_discarded() && depth_of(expected, 65) <= 64;
  try {
    const dms::Json tree = dms::parse_json(text, "fuzz");
    require(has_pythons_numbers(text) || (is_good && tree == expected));
    const dms::Json ordered = dms::parse_ordered_json(text, "fuzz");
    require(has_pythons_numbers(text) || ordered == expected);
    check_ids(text, tree);
    Counter counter;
    dms::read_json_events(text, "fuzz", {}, counter);
    require(counter.events <= static_cast<int64_t>(text.size()));
  } catch (const dms::InputError&) {
    require(!is_good);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  check_tree(repeated({reinterpret_cast<const char*>(data), size}));
  return 0;
}
