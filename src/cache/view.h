#pragma once
// What the decoder and the policies see of a sequence's cache: the decoder appends a chunk layer by
// layer and asks which pages a tile of queries attends; a policy answers which tokens are evicted.
// Neither knows how pages are kept. Exactness: semantics.md section 1.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/attention.h"
#include "kernels/kv_page.h"

namespace dms::cache {

/// Tokens whose fate is to be decided in one layer.
struct FateRequest {
  int64_t layer = 0;
  int64_t first = 0;  // position of the first token
  int64_t count = 0;
  std::span<const float> logits{};  // [count, kv_heads] decision logits that settle these tokens
                                    // (already shifted); empty unless uses_logits()
};

/// Decides which entries a head holds. A token's fate is settled once and takes effect when the
/// token leaves the window. Implementations are immutable; thread-safe.
class FateSource {
 public:
  virtual ~FateSource() = default;

  /// W: a query at t sees every token with t - i <= W whatever its fate.
  virtual int64_t window() const = 0;

  /// 1: token i's fate is settled when token i + 1 is computed; 0: with token i itself.
  virtual int64_t decision_shift() const { return 0; }

  /// The model must compute decision logits for decide().
  virtual bool uses_logits() const { return false; }

  /// Position at which the query of token t is rotated for keys beyond its window (streaming's
  /// position shift); nothing: its true position.
  virtual std::optional<int64_t> far_position(int64_t) const { return std::nullopt; }

  /// Share of the tokens that leave the window and stay, for sizing memory ahead.
  virtual double expected_keep() const { return 1.0; }

  /// Writes 1 (evict) or 0 (keep) to `evict`, [kv_heads, count].
  virtual void decide(const FateRequest& request, std::span<uint8_t> evict) const = 0;
};

/// One layer's share of a chunk.
struct LayerChunk {
  int64_t layer = 0;
  int64_t count = 0;              // tokens, at positions tokens() .. tokens() + count - 1
  std::span<const float> keys;    // [count, kv_heads, head_dim] after RoPE, rows token_stride apart
  std::span<const float> values;  // likewise
  int64_t token_stride = 0;       // floats from one token's heads to the next token's
  std::span<const float> logits{};  // [count, kv_heads] decision logits, when the source uses them
};

/// The pages that a tile of neighbouring queries attends, reused from call to call.
struct TilePages {
  std::vector<kernels::PageRef> pages;  // survivors first, then the band
  int64_t band_begin = 0;               // index of the first page in the window's layout
  std::vector<uint32_t> masks;          // what the pages' masks point into
};

/// One sequence. Engine thread only, except gather(), which may run on several threads between
/// append() and finish_layer().
class SequenceView {
 public:
  virtual ~SequenceView() = default;

  virtual int64_t tokens() const = 0;
  virtual const FateSource& fate_source() const = 0;
  virtual kernels::KvPageLayout window_layout() const = 0;
  virtual kernels::KvPageLayout survivor_layout() const = 0;

  /// Takes the chunk's keys and values into the layer's window, settles fates and seals the tokens
  /// that leave the window with this chunk.
  virtual void append(const LayerChunk& chunk) = 0;

  /// What queries at `first` .. `first + positions - 1` see in one head. Overwrites `out`.
  virtual void gather(
      int64_t layer, int64_t kv_head, int64_t first, int64_t positions, TilePages& out) const = 0;

  /// The chunk's attention in this layer is done: sealed tokens' window pages are given back.
  virtual void finish_layer(int64_t layer) = 0;

  /// Every layer has the chunk: it now belongs to the sequence.
  virtual void commit(int64_t count) = 0;
};

}  // namespace dms::cache
