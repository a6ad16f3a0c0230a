#pragma once
// Which tokens of a shuffled sequence of documents make which sample.

#include <cstdint>
#include <span>
#include <vector>

namespace dms::train::data {

enum class PackRule {
  cut,    // a document's overflow is discarded, the next context begins with the next document
          // (NVIDIA's concat_always_start_new: true)
  carry,  // the overflow begins the next context (false)
  whole   // the document that overflowed begins the next context from its first token, so that
          // each one is seen whole once (generated documents; none is longer than a context)
};

/// A sample is max_length tokens from here on, document after document of the order.
struct SampleStart {
  int64_t position = 0;  // in the order
  int64_t skip = 0;      // tokens of that document
};

struct Packing {
  std::vector<SampleStart> starts;
  int64_t tokens_cut = 0;   // discarded overflow
  int64_t tokens_left = 0;  // of the last context, which stayed incomplete and is dropped
};

/// `order`: [documents] a permutation; `offsets`: [documents + 1] where each one's tokens begin.
Packing pack(std::span<const int64_t> order,
             std::span<const int64_t> offsets,
             int64_t max_length,
             PackRule rule);

}  // namespace dms::train::data
