#pragma once
// A part of a text, in bytes.

#include <cstddef>

namespace dms {

struct ByteSpan {
  size_t begin = 0;
  size_t end = 0;
};

}  // namespace dms
