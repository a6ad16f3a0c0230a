#include "train/data/packing.h"

#include "base/check.h"

namespace dms::train::data {

Packing pack(std::span<const int64_t> order,
             std::span<const int64_t> offsets,
             int64_t max_length,
             PackRule rule) {
  Packing packing;
  SampleStart start;
  int64_t filled = 0;  // tokens from `start` to the end of the document at `position`
  for (int64_t position = 0; position < std::ssize(order); ++position) {
    const auto document = static_cast<size_t>(order[static_cast<size_t>(position)]);
    const int64_t length = offsets[document + 1] - offsets[document];
    ensure(rule != PackRule::whole || length <= max_length, "a whole document fits a context");
    filled += length;
    while (filled >= max_length) {
      packing.starts.push_back(start);
      const int64_t overflow = filled - max_length;
      start = {.position = position + 1, .skip = 0};
      filled = 0;
      if (overflow == 0) continue;
      if (rule == PackRule::cut) {
        packing.tokens_cut += overflow;
      } else {
        filled = rule == PackRule::carry ? overflow : length;
        start = {.position = position, .skip = length - filled};
      }
    }
  }
  packing.tokens_left = filled;
  return packing;
}

}  // namespace dms::train::data
