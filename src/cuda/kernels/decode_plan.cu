// The plan of decode attention. The pages of a layer's heads, one head after another, are one long
// row, cut into shares of equal bytes (to a page) for the blocks: a block's pieces are the heads'
// parts of its share. A piece of head h in block b is entry h + b of the layer's list: no two have
// the same, each head's and each block's are together, and no thread must know of another's. Where
// the next head begins in a later share than this one's last page, entry h + b + 1 is left empty.

#include <algorithm>

#include <cuda_runtime.h>

#include "cuda/kernels/decode_attention.h"
#include "cuda/kernels/reduce.cuh"

namespace dms::cuda {
namespace {

constexpr int kThreads = 256;
// What a page costs: the bytes of an element, as that is how pages differ.
constexpr int kWindowCost = element_bytes(KvFormat::bf16);
// Of a share: a page of the window for each warp of a block.
constexpr int kLeastCost = 4 * kWindowCost;

/// Equal shares of `cost`, the first `longer` of them longer by one. Each is long enough for a page
/// to begin in it.
struct Shares {
  int count = 0;
  int cost = 0;
  int longer = 0;

  __device__ Shares(int all, int blocks) {
    count = max(1, min(blocks, (all + kLeastCost - 1) / kLeastCost));
    cost = all / count;
    longer = all % count;
  }
  __device__ int begin(int share) const { return share * cost + min(share, longer); }
  /// Which one `at` lies in.
  __device__ int of(int at) const {
    const int in_longer = longer * (cost + 1);
    return at < in_longer ? at / (cost + 1) : longer + (at - in_longer) / cost;
  }
};

/// A head's pages and what they cost.
struct HeadPages {
  int survivors = 0;
  int window = 0;
  int survivor_cost = 0;  // of a page

  __device__ HeadPages(const CacheView& cache, const AttentionPiece& head)
      : survivors((head.survivors + kPageTokens - 1) / kPageTokens),
        window(head.position / kPageTokens - head.sealed_end / kPageTokens + 1),
        survivor_cost(element_bytes(cache.survivor_format)) {}
  __device__ int cost() const { return survivors * survivor_cost + window * kWindowCost; }
  /// How many begin before `at`, counted from the head's beginning.
  __device__ int begun_before(int at) const {
    const int in_window = at - survivors * survivor_cost;
    return in_window <= 0 ? (at + survivor_cost - 1) / survivor_cost
                          : survivors + (in_window + kWindowCost - 1) / kWindowCost;
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
  return piece;
}

/// All lanes together write the pieces of a head that begins at `begin`.
__device__ void write_pieces(AttentionPiece piece,
                             AttentionPiece* pieces,
                             const HeadPages& pages,
                             const Shares& shares,
                             int head,
                             int begin) {
  const int end = begin + pages.cost();
  const int first = shares.of(begin);
  const int last = shares.of(end - kWindowCost);
  piece.first_piece = head + first;
  piece.head_pieces = last - first + 1;
  const int entries = last + 1 < shares.count && shares.begin(last + 1) <= end ? last + 1 : last;
  for (int share = first + threadIdx.x % 32; share <= entries; share += 32) {
    const int from = max(begin, shares.begin(share));
    const int until = min(end, shares.begin(share + 1));
    piece.first_page = pages.begun_before(from - begin);
    piece.pages = share <= last ? pages.begun_before(until - begin) - piece.first_page : 0;
    pieces[head + share] = piece;
  }
}

__device__ AttentionPiece of_lane(const AttentionPiece& piece, int lane) {
  AttentionPiece result;
  result.row = __shfl_sync(kAllLanes, piece.row, lane);
  result.kv_head = __shfl_sync(kAllLanes, piece.kv_head, lane);
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

  int own_cost = 0;
  for (int head = threadIdx.x; head < heads; head += kThreads) {
    own_cost += HeadPages(params.cache, whole_head(params, layer, head)).cost();
  }
  __shared__ int warp_sums[kThreads / kWarpLanes];
  int all = 0;
  block_scan<kThreads>(own_cost, warp_sums, all);
  const Shares shares(all, params.blocks);

  int done = 0;
  for (int base = 0; base < heads; base += kThreads) {
    const int head = base + threadIdx.x;
    AttentionPiece piece;
    int cost = 0;
    if (head < heads) {
      piece = whole_head(params, layer, head);
      cost = HeadPages(params.cache, piece).cost();
    }
    int round_cost = 0;
    const int begin = done + block_scan<kThreads>(cost, warp_sums, round_cost);
    done += round_cost;
    if (head < heads) first_piece[head] = head + shares.of(begin);
    const int first_of_warp = head - threadIdx.x % 32;
    for (int lane = 0; lane < min(32, heads - first_of_warp); ++lane) {
      const AttentionPiece its_piece = of_lane(piece, lane);
      write_pieces(its_piece,
                   pieces,
                   HeadPages(params.cache, its_piece),
                   shares,
                   first_of_warp + lane,
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
