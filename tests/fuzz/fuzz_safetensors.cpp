// Input: a whole .safetensors file. It is refused, or its tensors tile the bytes behind the header.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "dms/error.h"
#include "model/spec/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> file(reinterpret_cast<const std::byte*>(data), size);
  try {
    int64_t bytes = 0;
    for (const auto& [name, entry] : dms::parse_safetensors(file, "fuzz")) {
      if (entry.begin < 8 || entry.bytes < 0) std::abort();
      if (entry.begin + entry.bytes > static_cast<int64_t>(size)) std::abort();
      bytes += entry.bytes;
    }
    if (bytes + 8 > static_cast<int64_t>(size)) std::abort();
  } catch (const dms::InputError&) {
    return 0;
  }
  return 0;
}
