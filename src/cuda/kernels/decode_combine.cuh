#pragma once
// Putting together what warps found of a piece, and blocks of a head.

#include <cmath>
#include <cstdint>

#include <cuda_bf16.h>

#include "cuda/kernels/decode_attention.h"
#include "cuda/kernels/decode_warp.cuh"
#include "cuda/kernels/ptx.cuh"

namespace dms::cuda {

/// In shared memory. Rows of queries are 4 floats longer than kDim: then neither the warps' stores
/// (lane 4 u + j: row 2 j, column u) nor the reading of rows meets in a bank.
template <int kDim>
struct Merge {
  static constexpr int kStride = kDim + 4;
  float sums[kAttentionWarps][kMaxGroup][kStride];
  float2 totals[kAttentionWarps][kMaxGroup];
  int begun[2];  // pieces_of_block()
  int is_last;
};

/// 2^(score - base), 0 for -inf whatever the base.
__device__ __forceinline__ float weight_of(float score, float base) {
  return score == -INFINITY ? 0.0f : exp2_approximate(score - base);
}

__device__ __forceinline__ void store_output(__nv_bfloat16* to, float2 sums, float total) {
  *reinterpret_cast<__nv_bfloat162*>(to) = __floats2bfloat162_rn(sums.x / total, sums.y / total);
}

/// The block's result of a piece: the output where the head has no other piece.
template <int kDim>
__device__ __forceinline__ void merge_warps(const DecodeAttentionParams& params,
                                            const Merge<kDim>& merge,
                                            const AttentionPiece& piece,
                                            int index,
                                            int group) {
  constexpr int kPairs = kDim / 2;
  const int64_t row = int64_t{piece.row} * params.q_heads + piece.kv_head * group;
  for (int i = threadIdx.x; i < group * kPairs; i += blockDim.x) {
    const int query = i / kPairs;
    const int channel = i % kPairs * 2;
    float highest = -INFINITY;
#pragma unroll
    for (int w = 0; w < kAttentionWarps; ++w) highest = fmaxf(highest, merge.totals[w][query].x);
    float2 sums = make_float2(0.0f, 0.0f);
    float total = 0.0f;
#pragma unroll
    for (int w = 0; w < kAttentionWarps; ++w) {
      const float weight = weight_of(merge.totals[w][query].x, highest);
      const float2 part = *reinterpret_cast<const float2*>(&merge.sums[w][query][channel]);
      sums.x += weight * part.x;
      sums.y += weight * part.y;
      total += weight * merge.totals[w][query].y;
    }
    if (piece.head_pieces == 1) {
      store_output(params.out + (row + query) * kDim + channel, sums, total);
    } else {
      const int64_t entry = int64_t{index} * group + query;
      *reinterpret_cast<float2*>(params.partial + entry * kDim + channel) = sums;
      if (channel == 0) params.partial_sums[entry] = make_float2(highest, total);
    }
  }
}

/// The output from all pieces of a head.
template <int kDim>
__device__ __forceinline__ void combine(const DecodeAttentionParams& params,
                                        const AttentionPiece& piece,
                                        int group) {
  constexpr int kPairs = kDim / 2;
  const int64_t row = int64_t{piece.row} * params.q_heads + piece.kv_head * group;
  for (int i = threadIdx.x; i < group * kPairs; i += blockDim.x) {
    const int query = i / kPairs;
    const int channel = i % kPairs * 2;
    const int64_t entry = int64_t{piece.first_piece} * group + query;
    float highest = -INFINITY;
#pragma unroll 8
    for (int p = 0; p < piece.head_pieces; ++p) {
      highest = fmaxf(highest, __ldcg(params.partial_sums + entry + p * group).x);
    }
    float2 sums = make_float2(0.0f, 0.0f);
    float total = 0.0f;
#pragma unroll 8
    for (int p = 0; p < piece.head_pieces; ++p) {
      const float2 found = __ldcg(params.partial_sums + entry + p * group);
      const float2 part = __ldcg(
          reinterpret_cast<const float2*>(params.partial + (entry + p * group) * kDim + channel));
      const float weight = weight_of(found.x, highest);
      sums.x += weight * part.x;
      sums.y += weight * part.y;
      total += weight * found.y;
    }
    store_output(params.out + (row + query) * kDim + channel, sums, total);
  }
}

/// Counts the piece as done; the block whose piece is the head's last one to be so combines them.
/// No block waits for another, so that any order of blocks will do, and the count is 0 again when
/// the head is done, so that a graph may run the launch again. What orders the writes: barrier,
/// then fence and atomic by one thread (a release of all the block's writes), and on the other side
/// atomic, fence, barrier; reads go past L1, which is not coherent.
template <int kDim>
__device__ __forceinline__ void combine_if_last(const DecodeAttentionParams& params,
                                                Merge<kDim>& merge,
                                                AttentionPiece* pieces,
                                                const AttentionPiece& piece,
                                                int group) {
  __syncthreads();
  if (threadIdx.x == 0) {
    const auto last = static_cast<unsigned>(piece.head_pieces - 1);
    auto* arrived = reinterpret_cast<unsigned*>(&pieces[piece.first_piece].arrived);
    __threadfence();
    merge.is_last = atomicInc(arrived, last) == last ? 1 : 0;
    __threadfence();
  }
  __syncthreads();
  if (merge.is_last != 0) combine<kDim>(params, piece, group);
}

}  // namespace dms::cuda
