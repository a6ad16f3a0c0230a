#pragma once
// Operations on ragged batches in plain arrays, for those who keep a padded cache of their own:
// what Python loops over sequences and heads do one after another, here in one call on all threads
// (the operations that qwen3-8b-dms-triton named; semantics.md section 1 for the last). All throw
// InputError where sizes disagree, and where `out` shares memory with what is read.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace dms {

/// Rows of `row_bytes` bytes each, of whatever type: [lists, rows, row_bytes], dense.
struct RaggedRows {
  std::span<const std::byte> data;
  int64_t lists = 0;      // sequences, or sequences times heads
  int64_t rows = 0;       // of each list, what is beyond its length included
  int64_t row_bytes = 0;  // head_dim times the size of a number
};

/// The first lengths[n] rows of list n, moved to the end of `width` rows; zeros before. `out`:
/// [lists, width, row_bytes]. Throws InputError where a length is beyond min(rows, width).
void left_pad_2d(const RaggedRows& x,
                 std::span<const int64_t> lengths,
                 int64_t width,
                 std::span<std::byte> out);

/// out[index[i]] = x[i]; rows of `out` that nobody names stay as they are. `x`: [rows, row_bytes]
/// (one list), `out`: [any, row_bytes]; of rows without bytes it has as many as x. Throws
/// InputError where an index is beyond `out` or two are the same.
void scatter_by_index(const RaggedRows& x,
                      std::span<const int64_t> index,
                      std::span<std::byte> out);

/// How many rows of each list the mask keeps: [lists].
std::vector<int64_t> count_kept(const RaggedRows& x, std::span<const uint8_t> mask);

/// The rows that `mask` [lists, rows] keeps (not 0), in order, at the end of `width` rows; zeros
/// before. `out`: [lists, width, row_bytes]. Throws InputError where a list keeps more than
/// `width`.
void bool_gather_left_pad(const RaggedRows& x,
                          std::span<const uint8_t> mask,
                          int64_t width,
                          std::span<std::byte> out);

/// The rows that `mask` [lists, rows] keeps, list after list without gaps. `out`: [kept,
/// row_bytes].
void compact_by_bool(const RaggedRows& x, std::span<const uint8_t> mask, std::span<std::byte> out);

/// What dms_fused_prefill() attends.
struct FusedPrefill {
  int64_t tokens = 0;
  int64_t q_heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  std::span<const float> queries;    // [tokens, q_heads, head_dim] after RoPE
  std::span<const float> keys;       // [tokens, kv_heads, head_dim] after RoPE
  std::span<const float> values;     // [tokens, kv_heads, head_dim]
  std::span<const uint8_t> evicted;  // [kv_heads, tokens], 1: the token's own fate is eviction
  int64_t window = 256;              // a query sees every token at most so far before it
  double scale = 0.0;                // multiplies q . k, above 0; 0: 1 / sqrt(head_dim)
  std::string dtype = "f32";         // of the arithmetic, or bf16
};

/// Attention of a whole prompt under DMS' mask in one pass: query t sees token i where i <= t and
/// (t - i <= window or i is kept). What is evicted is left out of the arithmetic beyond the window,
/// as in the engine, whose prefill this is; no score or mask matrix exists. `out`: [tokens,
/// q_heads, head_dim]. Throws InputError on a scale or window out of range or an unknown dtype,
/// RunError where memory is short.
void dms_fused_prefill(const FusedPrefill& prompt, std::span<float> out);

}  // namespace dms
