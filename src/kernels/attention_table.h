#pragma once
// What each instruction set provides for attention and pages. Plain structs of pointers and
// numbers: the per-ISA files may include nothing with inline functions.

#include <cstddef>
#include <cstdint>

#include "kernels/page_ref.h"

namespace dms::kernels {

/// AttentionArgs and AttentionPartial, checked and unpacked.
struct AttendCall {
  const float* q;
  const float* q_far;         // equals q where the caller gave none
  int64_t q_position_stride;  // floats
  const PageRef* pages;
  int64_t page_count;
  int64_t positions;
  int64_t group;
  int64_t head_dim;
  int64_t head_dim_padded;
  float scale;      // > 0
  float* max;       // [positions, group]
  float* sum;       // [positions, group]
  float* output;    // [positions, group, head_dim]
  void* workspace;  // attend_workspace_bytes(), 64-byte aligned, contents undefined
};

constexpr int64_t kAttendTileRows = 12;      // rows whose sums stay in registers at most
constexpr int64_t kAttendBlockTokens = 128;  // tokens whose scores a tile holds at a time

/// Near and far queries as float32 words padded to whole tiles, then one tile's scores and weights.
constexpr int64_t attend_workspace_bytes(int64_t rows, int64_t head_dim_padded) {
  const int64_t query_words = 2 * (rows + kAttendTileRows) * head_dim_padded;
  const int64_t tile_words = 2 * kAttendTileRows * (kAttendBlockTokens + 32);
  return 4 * (query_words + tile_words);
}

struct AttentionTable {
  void (*attend_f32)(const AttendCall&);
  void (*attend_bf16)(const AttendCall&);
  void (*attend_int8)(const AttendCall&);
};

extern const AttentionTable kAttentionGeneric;
extern const AttentionTable kAttentionAvx2;
extern const AttentionTable kAttentionAvx512;

}  // namespace dms::kernels
