// Input: a .npy file. It is refused, or as many values as its shape says are read.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/npy.h"
#include "dms/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const dms::NpyBytes array =
        dms::parse_npy_bytes({reinterpret_cast<const char*>(data), size}, "fuzz");
    size_t count = 1;
    for (const int64_t length : array.shape) count *= static_cast<size_t>(length);
    if (count != array.values.size()) std::abort();
  } catch (const dms::InputError&) {
    return 0;
  }
  return 0;
}
