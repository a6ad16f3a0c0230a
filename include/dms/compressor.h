#pragma once
// Compressors of one's own for the policy adms: registered under a name, chosen by the policy's
// arguments compressor_type=custom,compressor=NAME. examples/custom_compressor.cpp is one.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace dms {

/// Entries of one KV head, by rising position.
struct MiddleEntries {
  std::vector<int32_t> positions;
  std::vector<int32_t> counts;  // tokens that each stands for
  std::vector<float> keys;      // [entries, head_dim], as they are before RoPE
  std::vector<float> values;    // [entries, head_dim]
};

/// Makes at most `budget` entries of those given, which are what it made before and what has left
/// the window since. They may stand for fewer tokens in all, never for more; what is missing counts
/// as dropped. Called on several threads at a time. A result of another shape, or with numbers that
/// are not finite, is a RunError that names the compressor; so is whatever the function throws, but
/// std::bad_alloc. It ends the request, and no other, as an error.
using Compressor =
    std::function<MiddleEntries(const MiddleEntries& entries, int64_t head_dim, int64_t budget)>;

/// Thread-safe; a name that is there already gets the new one, for caches made from then on. Throws
/// InputError where there is no function.
void register_compressor(const std::string& name, Compressor compressor);

}  // namespace dms
