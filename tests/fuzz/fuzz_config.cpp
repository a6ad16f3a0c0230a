// Input: a config.json. It is refused, or its spec is one that the rest of the engine can rely on.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

#include "dms/error.h"
#include "model/spec/load.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void check(const dms::ModelSpec& spec) {
  require(spec.layers > 0 && spec.hidden > 0 && spec.ffn > 0 && spec.vocab > 0);
  require(spec.context > 0 && spec.head_dim > 0 && spec.kv_heads > 0);
  require(spec.q_heads % spec.kv_heads == 0);
  require(spec.rope.rotary_dim >= 2 && spec.rope.rotary_dim <= spec.head_dim);
  require(spec.rope.rotary_dim % 2 == 0 && spec.rope.factor >= 1.0);
  require(spec.sliding_window.empty() || std::ssize(spec.sliding_window) == spec.layers);
  require(dms::parameter_count(spec) > 0);
  for (const int32_t id : spec.eos_ids) require(id >= 0 && id < spec.vocab);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("fuzz-config-" + std::to_string(::getpid()));
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  try {
    check(dms::load_spec_from_config(path));
  } catch (const dms::InputError&) {
    std::filesystem::remove(path);
    return 0;
  }
  std::filesystem::remove(path);
  return 0;
}
