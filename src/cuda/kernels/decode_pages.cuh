#pragma once
// Which pages a warp of decode attention reads, in which order, and how their sides come into
// shared memory.

#include <cstdint>
#include <numeric>

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

/// Where the 16-byte chunks of one side's rows lie in shared memory: a row's after one another, but
/// for an exclusive or of the chunk's last bits. Without it, eight rows of the same chunk (what
/// ldmatrix reads at once) would meet in the same banks wherever rows are an even number of chunks:
/// rows 8 / g apart do, g = gcd(chunks, 8).
template <int kRowBytes>
struct Chunks {
  static constexpr int kCount = kRowBytes / 16;
  static constexpr int kShift = kCount % 8 == 0 ? 0 : kCount % 4 == 0 ? 1 : kCount % 2 == 0 ? 2 : 3;
  static constexpr int kMask = (8 >> kShift) - 1;
  // A warp's copies, 512 bytes each, come to the same place of a row and the same turn after so
  // many of them.
  static constexpr int kPeriod = std::lcm(512, 8 * kRowBytes) / 512;

  __device__ static int turn(int row) { return row >> kShift & kMask; }
  __device__ static uint32_t offset(int row, int chunk) {
    return static_cast<uint32_t>(row * kRowBytes + ((chunk ^ turn(row)) << 4));
  }
};

/// A lane's row among them and the bits of the chunk that differ between lanes, so that the way to
/// a chunk known to the compiler is one exclusive or and a constant.
template <int kRowBytes>
class LaneChunks {
 public:
  __device__ LaneChunks(uint32_t side, int row, int lane_bits)
      : row_(side + row * kRowBytes), turn_((Chunks<kRowBytes>::turn(row) ^ lane_bits) << 4) {}
  /// Chunk `chunk ^ lane_bits` of the row `later_rows` (a multiple of 8) after the lane's.
  __device__ uint32_t at(int chunk, int later_rows = 0) const {
    constexpr int kMask = Chunks<kRowBytes>::kMask;
    return row_ + (turn_ ^ ((chunk & kMask) << 4)) + ((chunk & ~kMask) << 4) +
           later_rows * kRowBytes;
  }

 private:
  uint32_t row_;
  uint32_t turn_;
};

/// One warp begins to copy keys (side 0) or values (side 1) of a page, and closes the group. Rows
/// of tokens that are not visible become zeros. Codes are followed by their scales.
template <int kDim, KvFormat kFormat>
__device__ __forceinline__ void copy_side_as(
    const std::byte* arena, const PageRef& page, int side, uint32_t to, int lane) {
  constexpr int kRowBytes = kDim * element_bytes(kFormat);
  constexpr int kSideBytes = side_bytes(kFormat, kDim);
  using RowChunks = Chunks<kRowBytes>;
  constexpr int kPeriod = RowChunks::kPeriod;
  constexpr int kSteps = kSideBytes / 512;
  const std::byte* from = arena + int64_t{page.place} * kPageUnit + side * kSideBytes + lane * 16;
#pragma unroll
  for (int i = 0; i < (kPeriod < kSteps ? kPeriod : kSteps); ++i) {
    const int chunk = i * 32 + lane;
    const int row = chunk / RowChunks::kCount;
    const uint32_t place = to + RowChunks::offset(row, chunk % RowChunks::kCount);
#pragma unroll
    for (int step = i; step < kSteps; step += kPeriod) {
      const int later_rows = (step - i) * 512 / kRowBytes;
      copy_async_16(place + later_rows * kRowBytes,
                    from + step * 512,
                    (page.visible >> row >> later_rows & 1u) != 0);
    }
  }
  if constexpr (kFormat != KvFormat::bf16) {
    constexpr int kScaleBytes = kPageTokens * 2;
    if (lane < kScaleBytes / 16) {
      copy_async_16(to + kSideBytes + lane * 16,
                    from + (2 - side) * kSideBytes + side * kScaleBytes);
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
