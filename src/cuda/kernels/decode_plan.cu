// The plan of decode attention. The pages of a layer's heads, one head after another, are one long
// row, cut into `blocks` shares of equal length (to a page): a block's pieces are the heads' parts
// of its share. A piece of head h in block b is entry h + b of the layer's list: no two have the
// same, each head's and each block's are together, and no thread must know of another's. Where a
// head ends with a share, entry h + b + 1 is left empty.

#include <algorithm>

#include <cuda_runtime.h>

#include "cuda/kernels/decode_attention.h"

namespace dms::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
// Of a share: less would leave warps of a block without a page.
constexpr int kLeastPages = 4;
constexpr unsigned kAllLanes = 0xffffffffu;

/// Equal shares of `pages` pages, the first `longer` of them one page longer.
struct Shares {
  int count = 0;
  int pages = 0;
  int longer = 0;

  __device__ Shares(int all_pages, int blocks) {
    count = max(1, min(blocks, (all_pages + kLeastPages - 1) / kLeastPages));
    pages = all_pages / count;
    longer = all_pages % count;
  }
  __device__ int begin(int share) const { return share * pages + min(share, longer); }
  __device__ int of_page(int page) const {
    const int in_longer = longer * (pages + 1);
    return page < in_longer ? page / (pages + 1) : longer + (page - in_longer) / pages;
  }
};

/// Head `head` of a layer's rows, without what the cut gives.
__device__ AttentionPiece whole_head(const DecodeAttentionParams& params, int layer, int head) {
  AttentionPiece piece;
  piece.row = head / params.cache.kv_heads;
  piece.kv_head = head % params.cache.kv_heads;
  piece.slot = params.rows.slots[piece.row];
  piece.survivors =
      params.cache.survivors[head_index(params.cache, piece.slot, layer, piece.kv_head)];
  piece.sealed_end = params.slots.sealed_end[piece.slot];
  piece.position = params.rows.positions[piece.row];
  piece.window = params.slots.window[piece.slot];
  piece.pages = (piece.survivors + kPageTokens - 1) / kPageTokens + piece.position / kPageTokens -
                piece.sealed_end / kPageTokens + 1;
  return piece;
}

/// The sum of `value` over the block's threads before this one; `total`: over all.
__device__ int sum_before(int value, int& total) {
  __shared__ int warp_sums[kWarps];
  const int lane = threadIdx.x % 32;
  const int warp = threadIdx.x / 32;
  int sum = value;
  for (int distance = 1; distance < 32; distance *= 2) {
    const int other = __shfl_up_sync(kAllLanes, sum, distance);
    if (lane >= distance) sum += other;
  }
  if (lane == 31) warp_sums[warp] = sum;
  __syncthreads();
  int before = sum - value;
  total = 0;
  for (int i = 0; i < kWarps; ++i) {
    if (i < warp) before += warp_sums[i];
    total += warp_sums[i];
  }
  __syncthreads();
  return before;
}

/// All lanes together write the pieces of a head whose first page is page `begin` of the layer.
__device__ void write_pieces(
    AttentionPiece piece, AttentionPiece* pieces, const Shares& shares, int head, int begin) {
  const int end = begin + piece.pages;
  const int first = shares.of_page(begin);
  const int last = shares.of_page(end - 1);
  piece.first_piece = head + first;
  piece.head_pieces = last - first + 1;
  // An entry more where the head ends with a share that is not the last.
  const int entries = last + 1 < shares.count && shares.begin(last + 1) == end ? last + 1 : last;
  for (int share = first + threadIdx.x % 32; share <= entries; share += 32) {
    const int from = max(begin, shares.begin(share));
    piece.first_page = from - begin;
    piece.pages = max(0, min(end, shares.begin(share + 1)) - from);
    pieces[head + share] = piece;
  }
}

__device__ AttentionPiece of_lane(const AttentionPiece& piece, int lane) {
  AttentionPiece result;
  result.row = __shfl_sync(kAllLanes, piece.row, lane);
  result.kv_head = __shfl_sync(kAllLanes, piece.kv_head, lane);
  result.pages = __shfl_sync(kAllLanes, piece.pages, lane);
  result.slot = __shfl_sync(kAllLanes, piece.slot, lane);
  result.survivors = __shfl_sync(kAllLanes, piece.survivors, lane);
  result.sealed_end = __shfl_sync(kAllLanes, piece.sealed_end, lane);
  result.position = __shfl_sync(kAllLanes, piece.position, lane);
  result.window = __shfl_sync(kAllLanes, piece.window, lane);
  return result;
}

/// One block a layer.
__global__ void __launch_bounds__(kThreads) plan_layer(const DecodeAttentionParams params) {
  const int layer = blockIdx.x;
  const int heads = params.rows.decode_rows * params.cache.kv_heads;
  AttentionPiece* pieces = params.plan.pieces + int64_t{layer} * params.plan.max_pieces;
  int32_t* first_piece = params.plan.first_piece + int64_t{layer} * (heads + 1);

  int own_pages = 0;
  for (int head = threadIdx.x; head < heads; head += kThreads) {
    own_pages += whole_head(params, layer, head).pages;
  }
  int all_pages = 0;
  sum_before(own_pages, all_pages);
  const Shares shares(all_pages, params.blocks);

  int done = 0;
  for (int base = 0; base < heads; base += kThreads) {
    const int head = base + threadIdx.x;
    AttentionPiece piece;
    if (head < heads) piece = whole_head(params, layer, head);
    int pages = 0;
    const int begin = done + sum_before(piece.pages, pages);
    done += pages;
    if (head < heads) first_piece[head] = head + shares.of_page(begin);
    for (int lane = 0; lane < 32 && head - threadIdx.x % 32 + lane < heads; ++lane) {
      write_pieces(of_lane(piece, lane),
                   pieces,
                   shares,
                   head - threadIdx.x % 32 + lane,
                   __shfl_sync(kAllLanes, begin, lane));
    }
  }
  if (threadIdx.x == 0) {
    params.plan.piece_count[layer] = heads + shares.count - 1;
    first_piece[heads] = heads + shares.count - 1;
  }
}

}  // namespace

int32_t most_pieces(int32_t decode_rows, int32_t kv_heads, int32_t blocks) {
  return decode_rows * kv_heads + blocks;
}

cudaError_t plan_decode(const DecodeAttentionParams& params, cudaStream_t stream) {
  if (params.rows.decode_rows == 0) return cudaSuccess;
  if (params.blocks < 1 || params.cache.head_dim % 16 != 0 ||
      params.plan.max_pieces <
          most_pieces(params.rows.decode_rows, params.cache.kv_heads, params.blocks)) {
    return cudaErrorInvalidValue;
  }
  plan_layer<<<params.cache.layers, kThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

}  // namespace dms::cuda
