#include "kernels/kv_rotation.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "kernels/attention_table.h"

namespace dms::kernels {
namespace {

/// x [count] times its signs: a hash of the channel (Knuth's multiplier).
void flip_signs(float* x, int64_t count) {
  for (int64_t c = 0; c < count; ++c) {
    const uint32_t hash = static_cast<uint32_t>(c + 1) * 2654435761u;
    x[c] = (hash >> 15 & 1u) != 0 ? -x[c] : x[c];
  }
}

void hadamard(float* x, int64_t count) {
  attention_table().hadamard(x, count);
  const float factor = 1.0f / std::sqrt(static_cast<float>(count));
  for (int64_t c = 0; c < count; ++c) x[c] *= factor;
}

int64_t window(int64_t head_dim) {
  return static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(head_dim)));
}

}  // namespace

void rotate_head(float* x, int64_t head_dim) {
  const int64_t count = window(head_dim);
  flip_signs(x, count);
  hadamard(x, count);
  if (count == head_dim) return;
  flip_signs(x + head_dim - count, count);
  hadamard(x + head_dim - count, count);
}

void turn_head_back(float* x, int64_t head_dim) {
  const int64_t count = window(head_dim);
  if (count < head_dim) {
    hadamard(x + head_dim - count, count);
    flip_signs(x + head_dim - count, count);
  }
  hadamard(x, count);
  flip_signs(x, count);
}

}  // namespace dms::kernels
