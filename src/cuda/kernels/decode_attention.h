#pragma once
// Attention of rows that decode, over survivors (all seen) and window (seen where t - i <= W or the
// token is kept) in one pass. Split-K over heads of different length: a plan made on the device
// cuts every (row, KV head) into pieces of about equal work for blocks that stay; one load of keys
// and values serves all queries of a group.

#include <cstdint>

#include <cuda_bf16.h>

#include "cuda/kernels/cache_view.h"

namespace dms::cuda {

/// A stretch of one head's pages for one block: survivors' pages first, then the window's (those of
/// the tokens [sealed end, position]; the row's own is there already).
struct alignas(16) AttentionPiece {
  int32_t row = 0;
  int32_t kv_head = 0;
  int32_t first_page = 0;
  int32_t pages = 0;  // 0: there is nothing to do
  // Of the head, so that attention finds a page's address after one look-up.
  int32_t slot = 0;
  int32_t survivors = 0;
  int32_t sealed_end = 0;
  int32_t position = 0;  // the row's
  int32_t window = 0;
  int32_t first_piece = 0;  // the head's first one
  int32_t head_pieces = 0;  // how many the head has
  int32_t arrived = 0;      // of the head's first one: how many are done; 0 between launches
};

/// For all layers at once, after seal_windows(): lengths differ between layers.
struct DecodePlan {
  AttentionPiece* pieces = nullptr;  // [layers, max_pieces]
  int32_t* piece_count = nullptr;    // [layers]
  // [layers, decode_rows * kv_heads + 1]: where a head's pieces begin. They are together, and so
  // are a block's; entries without pages may lie between.
  int32_t* first_piece = nullptr;
  int32_t max_pieces = 0;
};

/// Pieces that a plan for `decode_rows` rows and `blocks` blocks has at most.
int32_t most_pieces(int32_t decode_rows, int32_t kv_heads, int32_t blocks);

struct DecodeAttentionParams {
  CacheView cache{};
  SlotView slots{};
  RowView rows{};
  DecodePlan plan{};
  int32_t layer = 0;
  int32_t q_heads = 0;
  int32_t blocks = 0;  // of the attention's grid; those of the device, by default
  const __nv_bfloat16* queries = nullptr;  // [rows, q_heads, head_dim], scaled (QkvParams)
  float* partial = nullptr;                // [max_pieces, group, head_dim], not normalised
  float2* partial_sums = nullptr;          // [max_pieces, group] highest score and sum, base 2
  __nv_bfloat16* out = nullptr;            // [rows, q_heads, head_dim]; of decode_rows
};

/// Shared memory that a block of attention asks for; 0: there is none for heads of so many
/// channels.
int decode_shared_bytes(int32_t head_dim);
/// Blocks that fill the device, for DecodeAttentionParams::blocks.
cudaError_t decode_blocks(const DecodeAttentionParams& params, int32_t& blocks);
/// Makes params.plan for all layers (`layer` is not read), for `blocks` blocks and decode_rows.
cudaError_t plan_decode(const DecodeAttentionParams& params, cudaStream_t stream);
/// Attends one layer, by one launch. Groups of up to 8 queries.
cudaError_t decode_attention(const DecodeAttentionParams& params, cudaStream_t stream);

}  // namespace dms::cuda
