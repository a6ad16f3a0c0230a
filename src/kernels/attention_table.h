#pragma once
// What each instruction set provides for attention and pages. Plain structs of pointers and
// numbers: the per-ISA files may include nothing with inline functions.

#include <cstddef>
#include <cstdint>

#include "kernels/page_ref.h"

namespace dms::kernels {

/// How a side of a page is written down.
enum class CodeKind : int32_t {
  none,      // elements as they are multiplied
  int8,      // the integer
  fp8,       // E4M3, zero or normal
  points16,  // 4 bits: one of 16 numbers
  pairs16,   // 4 bits: one of 16 pairs
  pairs64,   // 6 bits: one of 64 pairs
  pairs256,  // 8 bits: one of 256 pairs
};

/// A side of every page of a call. Where it has codes, bf16 scales of the 32 tokens belong to it.
struct PageSide {
  CodeKind codes;
  const uint16_t* points;  // bf16: 16 numbers, or the first and then the second ones of all pairs
  int64_t offset;          // bytes from the page's begin
  int64_t scale_offset;
  int32_t shrink;  // its elements or codes take 2^-shrink of what is multiplied, rounded up
};

/// Codes of one side of one page on their way to bf16 words in the order of a bf16 page.
struct ExpandCall {
  const char* codes;
  int64_t vectors;        // of 32 words: head_dim_padded
  int64_t pair_distance;  // vectors from a pair's first to its second: 2 in keys, 1 in values
  const uint16_t* points;
  uint16_t* words;  // [vectors, 32]
};

/// AttentionArgs and AttentionPartial, checked and unpacked.
struct AttendCall {
  const float* q;
  const float* q_far;         // equals q where the caller gave none
  const float* far_biases;    // [positions, group], or null
  int64_t q_position_stride;  // floats
  const PageRef* pages;
  int64_t page_count;
  PageSide keys;
  PageSide values;
  int64_t positions;
  int64_t group;
  int64_t head_dim;
  int64_t head_dim_padded;
  float scale;      // > 0
  float soft_cap;   // 0: none
  float* max;       // [positions, group]
  float* sum;       // [positions, group]
  float* output;    // [positions, group, head_dim]
  void* workspace;  // attend_workspace_bytes(), 64-byte aligned, contents undefined
};

constexpr int64_t kAttendTileRows = 12;      // rows whose sums stay in registers at most
constexpr int64_t kAttendBlockTokens = 128;  // tokens whose scores a tile holds at a time

/// A block's pages expanded, near and far queries as float32 words padded to whole tiles, then one
/// tile's scores and weights.
constexpr int64_t attend_workspace_bytes(int64_t rows, int64_t head_dim_padded) {
  const int64_t expanded_words = kAttendBlockTokens * head_dim_padded;
  const int64_t query_words = 2 * (rows + kAttendTileRows) * head_dim_padded;
  const int64_t tile_words = 2 * kAttendTileRows * (kAttendBlockTokens + 32);
  return 4 * (expanded_words + query_words + tile_words);
}

struct AttentionTable {
  void (*attend_f32)(const AttendCall&);   // pages of float32
  void (*attend_bf16)(const AttendCall&);  // all others
  /// Multiplies x, [count], a power of two of numbers, by the Hadamard matrix without its factor:
  /// sums of neighbours first. The same bits on every instruction set.
  void (*hadamard)(float* x, int64_t count);
};

extern const AttentionTable kAttentionGeneric;
extern const AttentionTable kAttentionAvx2;
extern const AttentionTable kAttentionAvx512;

/// The table of the active instruction set.
const AttentionTable& attention_table();

}  // namespace dms::kernels
