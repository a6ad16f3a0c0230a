#pragma once
// Which pages a warp of decode attention reads, in which order, and how their sides come into
// shared memory.

#include <cstdint>

#include "cuda/kernels/cache_view.h"
#include "cuda/kernels/decode_attention.h"
#include "cuda/kernels/ptx.cuh"

namespace dms::cuda {

inline constexpr int kAttentionWarps = 4;

/// The bits from `first` on, which may lie outside a word.
__device__ __forceinline__ uint32_t bits_from(int first) {
  return first <= 0 ? ~0u : first >= 32 ? 0u : ~0u << first;
}

struct PageRef {
  uint32_t place = 0;    // in the arena, by kPageUnit
  uint32_t visible = 0;  // bit j: token j counts; the others are not read
  bool exact = false;    // of the window: bf16
};

/// Goes through the pages of one warp: every kAttentionWarps-th page of each of the block's pieces.
class PageCursor {
 public:
  __device__ PageCursor(const DecodeAttentionParams& params,
                        const AttentionPiece* piece,
                        const AttentionPiece* end,
                        int warp)
      : params_(params), at_(piece), end_(end), warp_(warp), page_(warp) {
    if (at_ < end_) piece_ = *at_;
  }

  /// A page without visible tokens after the last one.
  __device__ PageRef next() {
    while (page_ >= piece_.pages) {
      if (at_ >= end_ || ++at_ >= end_) return {};
      piece_ = *at_;
      page_ = warp_;
    }
    const PageRef page = page_of_head(piece_.first_page + page_);
    page_ += kAttentionWarps;
    return page;
  }

 private:
  __device__ PageRef page_of_head(int page) const {
    const CacheView& cache = params_.cache;
    const int64_t head = head_index(cache, piece_.slot, params_.layer, piece_.kv_head);
    const int survivor_pages = (piece_.survivors + kPageTokens - 1) / kPageTokens;
    if (page < survivor_pages) {
      return {cache.survivor_table[head * cache.max_pages + page],
              ~bits_from(piece_.survivors - page * kPageTokens),
              false};
    }
    const int window_page = piece_.sealed_end / kPageTokens + page - survivor_pages;
    const int first = window_page * kPageTokens;
    const uint32_t present =
        bits_from(piece_.sealed_end - first) & ~bits_from(piece_.position + 1 - first);
    const uint32_t in_window = bits_from(piece_.position - piece_.window - first);
    uint32_t visible = present;
    if ((present & ~in_window) != 0) {
      visible &= in_window | ~cache.fates[head * cache.fate_words + window_page];
    }
    return {cache.window_table[head * cache.ring_pages + window_page % cache.ring_pages],
            visible,
            true};
  }

  const DecodeAttentionParams& params_;
  const AttentionPiece* at_;
  const AttentionPiece* end_;
  AttentionPiece piece_;
  int warp_;
  int page_;
};

/// Where 16-byte chunk `chunk` of row `row` lies among the rows of one side. Without the exclusive
/// or, eight rows of the same chunk (what ldmatrix reads at once) would meet in the same banks
/// wherever rows are an even number of chunks: rows 8 / g apart do, g = gcd(chunks, 8).
template <int kRowBytes>
__device__ __forceinline__ uint32_t chunk_offset(int row, int chunk) {
  constexpr int kChunks = kRowBytes / 16;
  constexpr int kShift = kChunks % 8 == 0 ? 0 : kChunks % 4 == 0 ? 1 : kChunks % 2 == 0 ? 2 : 3;
  constexpr int kMask = (8 >> kShift) - 1;
  return static_cast<uint32_t>(row * kRowBytes + ((chunk ^ (row >> kShift & kMask)) << 4));
}

/// One warp begins to copy keys (side 0) or values (side 1) of a page, and closes the group. Rows
/// of tokens that are not visible become zeros. Codes are followed by their scales.
template <int kDim, KvFormat kFormat>
__device__ __forceinline__ void copy_side_as(
    const std::byte* arena, const PageRef& page, int side, uint32_t to, int lane) {
  constexpr int kRowBytes = kDim * element_bytes(kFormat);
  constexpr int kSideBytes = side_bytes(kFormat, kDim);
  const std::byte* from = arena + int64_t{page.place} * kPageUnit;
#pragma unroll
  for (int i = 0; i < kSideBytes / 512; ++i) {
    const int chunk = i * 32 + lane;
    const int row = chunk / (kRowBytes / 16);
    copy_async_16(to + chunk_offset<kRowBytes>(row, chunk % (kRowBytes / 16)),
                  from + side * kSideBytes + chunk * 16,
                  (page.visible >> row & 1u) != 0);
  }
  if constexpr (kFormat != KvFormat::bf16) {
    constexpr int kScaleBytes = kPageTokens * 2;
    if (lane < kScaleBytes / 16) {
      copy_async_16(to + kSideBytes + lane * 16,
                    from + 2 * kSideBytes + side * kScaleBytes + lane * 16);
    }
  }
}

template <int kDim, KvFormat kFormat>
__device__ __forceinline__ void copy_side(
    const std::byte* arena, const PageRef& page, int side, uint32_t to, int lane) {
  if (kFormat == KvFormat::bf16 || page.exact) {
    copy_side_as<kDim, KvFormat::bf16>(arena, page, side, to, lane);
  } else if (page.visible != 0) {
    copy_side_as<kDim, kFormat>(arena, page, side, to, lane);
  }
  commit_copies();
}

}  // namespace dms::cuda
