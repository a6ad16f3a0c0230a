#pragma once
// What one warp of decode attention does with a page in shared memory: scores, softmax so far,
// weighted values. All queries of a group share it, as rows of S = Q K^T (rows from 8 on stay zero)
// and as columns of O^T = V^T P^T: a lane's scores of S lie where mma wants the columns of P^T, so
// that probabilities never leave their lane.
//
// Lane 4 u + j holds query u's scores of tokens 8 t + 2 j and the next, and of O^T queries 2 j and
// 2 j + 1.
//
// Codes are read by the same ldmatrix, two of them a 16-bit element. Keys: a lane gets channels
// 4 j ... 4 j + 3 of 16, where bf16 has 2 j, 2 j + 1 and 8 more: queries are put into the same
// order. Values: a lane gets channels 2 u and 2 u + 1, where bf16 has u and u + 8: sums are brought
// into the order of bf16 when the warp comes to the window (to_exact()).

#include <cmath>
#include <cstdint>

#include <cuda_bf16.h>

#include "cuda/kernels/decode_codes.cuh"
#include "cuda/kernels/decode_pages.cuh"
#include "cuda/kernels/reduce.cuh"

namespace dms::cuda {

inline constexpr int kMaxGroup = 8;

template <int kDim, KvFormat kFormat>
class WarpAttention {
 public:
  /// `queries`: of the group, [group, kDim].
  __device__ WarpAttention(const __nv_bfloat16* queries, int group, int lane)
      : queries_(queries), group_(group), lane_(lane), exact_(kFormat == KvFormat::bf16) {
    load_queries();
  }

  /// Scores of a page by its keys, as probabilities from then on: base 2, not normalised.
  __device__ void score(uint32_t keys, const std::byte* key_scales, const PageRef& page) {
#pragma unroll
    for (auto& tile : scores_) {
#pragma unroll
      for (float& score : tile) score = 0.0f;
    }
    if (kFormat == KvFormat::bf16 || page.exact) {
      if (!exact_) to_exact();
      score_exact(keys);
    } else {
      score_codes(keys);
    }
    mask(key_scales, page);
  }

  /// Softmax's step: after score().
  __device__ void rescale() {
    float highest = highest_;
#pragma unroll
    for (auto& tile : scores_) highest = fmaxf(highest, fmaxf(tile[0], tile[1]));
    highest = fmaxf(highest, __shfl_xor_sync(kAllLanes, highest, 1));
    highest = fmaxf(highest, __shfl_xor_sync(kAllLanes, highest, 2));
    // Nothing visible yet: any finite number will do instead of -inf.
    const float base = highest == -INFINITY ? 0.0f : highest;
    const float factor = exp2_approximate(highest_ - base);
    highest_ = highest;
    sum_ *= factor;
#pragma unroll
    for (auto& tile : scores_) {
      tile[0] = exp2_approximate(tile[0] - base);
      tile[1] = exp2_approximate(tile[1] - base);
      sum_ += tile[0] + tile[1];
    }
    const float factor0 = __shfl_sync(kAllLanes, factor, 8 * (lane_ % 4));
    const float factor1 = __shfl_sync(kAllLanes, factor, 8 * (lane_ % 4) + 4);
#pragma unroll
    for (auto& tile : sums_) {
      tile[0] *= factor0;
      tile[1] *= factor1;
      tile[2] *= factor0;
      tile[3] *= factor1;
    }
  }

  /// Adds the values by their probabilities.
  __device__ void weigh(uint32_t values, const std::byte* value_scales, const PageRef& page) {
    if (kFormat == KvFormat::bf16 || page.exact) {
      weigh_exact(values);
    } else {
      weigh_codes(values, value_scales, page);
    }
  }

  /// To [query, kDim] of rows `stride` apart, and highest score and sum of each query.
  __device__ void store(float* out, int stride, float2* totals) {
    if (!exact_) to_exact();
    sum_ += __shfl_xor_sync(kAllLanes, sum_, 1);
    sum_ += __shfl_xor_sync(kAllLanes, sum_, 2);
    if (lane_ % 4 == 0) totals[lane_ / 4] = make_float2(highest_, sum_);
    float* first = out + 2 * (lane_ % 4) * stride + lane_ / 4;
#pragma unroll
    for (int m = 0; m < kDim / 16; ++m) {
      first[16 * m] = sums_[m][0];
      first[16 * m + stride] = sums_[m][1];
      first[16 * m + 8] = sums_[m][2];
      first[16 * m + 8 + stride] = sums_[m][3];
    }
  }

 private:
  __device__ void load_queries() {
    const int query = lane_ / 4;
    const int j = lane_ % 4;
#pragma unroll
    for (int k = 0; k < kDim / 16; ++k) {
      uint32_t low = 0;
      uint32_t high = 0;
      if (query < group_) {
        const __nv_bfloat16* from = queries_ + query * kDim + 16 * k;
        if (exact_) {
          low = *reinterpret_cast<const uint32_t*>(from + 2 * j);
          high = *reinterpret_cast<const uint32_t*>(from + 2 * j + 8);
        } else {
          const uint2 four = *reinterpret_cast<const uint2*>(from + 4 * j);
          low = __byte_perm(four.x, four.y, 0x5410);
          high = __byte_perm(four.x, four.y, 0x7632);
        }
      }
      fragments_[k][0] = low;
      fragments_[k][1] = high;
    }
  }

  /// From the order of codes to that of bf16.
  __device__ void to_exact() {
    exact_ = true;
    load_queries();
    const int half_row = lane_ / 4 / 2;
    const bool odd = lane_ / 4 % 2 != 0;
#pragma unroll
    for (auto& tile : sums_) {
      float moved[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        // Channel u (i < 2) or u + 8 of the tile: row u / 2 or 4 + u / 2, of the upper half where
        // the channel is odd.
        const int source = 4 * (half_row + (i < 2 ? 0 : 4)) + lane_ % 4;
        const float even_channel = __shfl_sync(kAllLanes, tile[i % 2], source);
        const float odd_channel = __shfl_sync(kAllLanes, tile[2 + i % 2], source);
        moved[i] = odd ? odd_channel : even_channel;
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) tile[i] = moved[i];
    }
  }

  __device__ void score_exact(uint32_t keys) {
    const LaneChunks<2 * kDim> chunks(keys, lane_ % 8 + lane_ / 16 * 8, lane_ / 8 % 2);
#pragma unroll
    for (int k = 0; k < kDim / 16; ++k) {
      const uint32_t a[4] = {fragments_[k][0], 0, fragments_[k][1], 0};
#pragma unroll
      for (int t = 0; t < 2; ++t) {
        uint32_t b[4];
        load_matrices(b, chunks.at(2 * k, 16 * t));
        multiply_add(scores_[2 * t], a, b[0], b[1]);
        multiply_add(scores_[2 * t + 1], a, b[2], b[3]);
      }
    }
  }

  __device__ void score_codes(uint32_t keys) {
    const LaneChunks<kDim> chunks(keys, lane_, 0);
#pragma unroll
    for (int k = 0; k < kDim / 16; ++k) {
      const uint32_t a[4] = {fragments_[k][0], 0, fragments_[k][1], 0};
      uint32_t codes[4];
      load_matrices(codes, chunks.at(k));
#pragma unroll
      for (int t = 0; t < 4; ++t) {
        uint32_t b0;
        uint32_t b1;
        codes_to_bf16<kFormat>(codes[t], b0, b1);
        multiply_add(scores_[t], a, b0, b1);
      }
    }
  }

  /// Scales scores to base 2 and by the keys' scales; -inf where the token is not visible.
  __device__ void mask(const std::byte* key_scales, const PageRef& page) {
#pragma unroll
    for (int t = 0; t < 4; ++t) {
      float2 scale = make_float2(kLog2e, kLog2e);
      if (kFormat != KvFormat::bf16 && !page.exact) {
        const float2 stored = scales_of(key_scales, t);
        scale = make_float2(stored.x * kLog2e, stored.y * kLog2e);
      }
      const uint32_t visible = page.visible >> (8 * t + 2 * (lane_ % 4));
      scores_[t][0] = (visible & 1u) != 0 ? scores_[t][0] * scale.x : -INFINITY;
      scores_[t][1] = (visible & 2u) != 0 ? scores_[t][1] * scale.y : -INFINITY;
    }
  }

  /// Of the lane's two tokens in tile `t`.
  __device__ float2 scales_of(const std::byte* scales, int t) const {
    return __bfloat1622float2(
        *reinterpret_cast<const __nv_bfloat162*>(scales + 16 * t + 4 * (lane_ % 4)));
  }

  __device__ void weigh_exact(uint32_t values) {
    const LaneChunks<2 * kDim> chunks(values, lane_ % 8 + lane_ / 16 * 8, lane_ / 8 % 2);
#pragma unroll
    for (int t = 0; t < 2; ++t) {
      const uint32_t b0 = pack_bf16(scores_[2 * t][0], scores_[2 * t][1]);
      const uint32_t b1 = pack_bf16(scores_[2 * t + 1][0], scores_[2 * t + 1][1]);
#pragma unroll
      for (int m = 0; m < kDim / 16; ++m) {
        uint32_t a[4];
        load_matrices_transposed(a, chunks.at(2 * m, 16 * t));
        multiply_add(sums_[m], a, b0, b1);
      }
    }
  }

  __device__ void weigh_codes(uint32_t values, const std::byte* value_scales, const PageRef& page) {
    uint32_t b[4];
#pragma unroll
    for (int t = 0; t < 4; ++t) {
      const float2 scale = scales_of(value_scales, t);
      const uint32_t visible = page.visible >> (8 * t + 2 * (lane_ % 4));
      // What lies beyond the last token may be NaN.
      b[t] = pack_bf16((visible & 1u) != 0 ? scores_[t][0] * scale.x : 0.0f,
                       (visible & 2u) != 0 ? scores_[t][1] * scale.y : 0.0f);
    }
    const LaneChunks<kDim> chunks(values, lane_, 0);
#pragma unroll
    for (int m = 0; m < kDim / 16; ++m) {
      uint32_t codes[4];
      load_matrices_transposed(codes, chunks.at(m));
#pragma unroll
      for (int t = 0; t < 2; ++t) {
        uint32_t a[4];
        codes_to_bf16<kFormat>(codes[2 * t], a[0], a[1]);
        codes_to_bf16<kFormat>(codes[2 * t + 1], a[2], a[3]);
        multiply_add(sums_[m], a, b[2 * t], b[2 * t + 1]);
      }
    }
  }

  const __nv_bfloat16* queries_;
  int group_;
  int lane_;
  bool exact_;  // in which order fragments_ and sums_ are
  float highest_ = -INFINITY;
  float sum_ = 0.0f;
  uint32_t fragments_[kDim / 16][2];
  float scores_[4][4];
  float sums_[kDim / 16][4] = {};
};

}  // namespace dms::cuda
