#pragma once
// The shapes that benches of CUDA kernels run: those of configs/shapes, and a tiny one by which an
// emulator goes through every bench in seconds.

#include <cstdint>
#include <string>
#include <vector>

namespace dms::bench {

struct BenchShape {
  std::string name;
  int32_t layers = 0;
  int32_t hidden = 0;
  int32_t ffn = 0;
  int32_t q_heads = 0;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  int32_t vocab = 0;
  int32_t window = 0;                    // W of the compact cache
  int32_t context = 0;                   // of decode
  int32_t chunk = 0;                     // of prefill
  std::vector<int32_t> prefill_lengths;  // of attention by itself

  int32_t q_width() const { return q_heads * head_dim; }
  int32_t kv_width() const { return kv_heads * head_dim; }
  int32_t qkv_width() const { return q_width() + 2 * kv_width(); }
};

/// Of R, tokens beyond the window that stay exact; of what leaves the window, an eighth is kept.
inline constexpr int32_t kSlack = 32;
inline constexpr double kKeep = 1.0 / 8;

inline std::vector<BenchShape> bench_shapes(bool tiny) {
  if (tiny) return {{"tiny", 2, 64, 96, 4, 2, 64, 160, 32, 200, 64, {96, 160}}};
  const std::vector<int32_t> lengths{8192, 32768, 131072};
  return {{"llama-3.2-1b", 16, 2048, 8192, 32, 8, 64, 128256, 256, 8192, 8192, lengths},
          {"qwen3-8b", 36, 4096, 12288, 32, 8, 128, 151936, 512, 8192, 8192, lengths}};
}

}  // namespace dms::bench
