#pragma once
// What the decoder sees of a sequence's cache: it appends a chunk layer by layer and asks which
// pages a tile of queries attends, without knowing how pages are kept. Exactness: semantics.md
// section 1.

#include <cstdint>
#include <span>
#include <vector>

#include "cache/digest.h"
#include "cache/policy.h"
#include "kernels/attention.h"
#include "kernels/kv_page.h"
#include "kernels/low_rank.h"

namespace dms::cache {

/// What a layer's output projection makes of values.
class ValueProjection {
 public:
  virtual ~ValueProjection() = default;
  /// For each value of a KV head, [entries, head_dim], the sum of absolute values of what becomes
  /// of it, its mean over the group's query heads. May run on several threads.
  virtual std::vector<float> norms(int64_t kv_head, std::span<const float> values) const = 0;
};

/// One layer's share of a chunk.
struct LayerChunk {
  int64_t layer = 0;
  int64_t count = 0;              // tokens, at positions tokens() .. tokens() + count - 1
  std::span<const float> keys;    // [count, kv_heads, head_dim] after RoPE, rows token_stride apart
  std::span<const float> values;  // likewise
  int64_t token_stride = 0;       // floats from one token's heads to the next token's
  std::span<const float>
      logits{};  // [count, kv_heads] decision logits, where the policy needs them
  std::span<const float> queries{};  // [count, q_heads, head_dim] after RoPE, as keys
  int64_t ended_prompt = 0;          // the last token ends a prompt of so many; 0: it ends none
  bool decoded = false;     // tokens of an answer, or one that comes alone; else of a prompt
  int64_t rope_length = 0;  // what length-dependent RoPE is fixed for
  const ValueProjection* projection = nullptr;  // valid until finish_layer()
};

/// Pages of one layout: [begin, end) of TilePages::pages.
struct PageRun {
  kernels::KvPageLayout layout;
  int64_t begin = 0;
  int64_t end = 0;
};

/// A page whose entries stand for several tokens each.
struct MergedPage {
  int64_t page = 0;                   // of TilePages::pages
  std::span<const float> log_counts;  // [32]
};

/// A head's block where it lies, until its next plan.
struct BlockView {
  int64_t rank = 0;
  std::span<const int32_t> positions;  // of the tokens, rising; empty: there is no block
  kernels::Factor key_rows;
  kernels::Factor key_basis;
  kernels::Factor value_rows;
  kernels::Factor value_basis;

  int64_t tokens() const { return std::ssize(positions); }
};

/// What a tile of neighbouring queries attends: runs of pages, each with its own layout, whose
/// partial results are merged. Reused from call to call.
struct TilePages {
  std::vector<kernels::PageRef> pages;
  std::vector<uint32_t> masks;  // what the pages' masks point into
  std::vector<PageRun> runs;    // of neighbouring pages, in order
  // [pages, 32] of the pages' tokens, where the layer's scores depend on them; slots that nobody
  // sees have any.
  std::vector<int32_t> positions;
  std::vector<MergedPage> merged;
  BlockView block;
  bool block_is_far = false;
  // [positions of the tile] tokens of the block before it lie outside the query's sliding window;
  // empty: all are seen.
  std::vector<int64_t> block_first_seen;

  void clear();
  /// Of the page added last: its tokens' positions, at most 32.
  void add_positions(std::span<const int32_t> of_page);
  /// The pages added since the last run's end are of `layout`.
  void close_run(const kernels::KvPageLayout& layout);
};

/// One sequence. Engine thread only, except gather(), which may run on several threads between
/// append() and finish_layer().
class SequenceView {
 public:
  virtual ~SequenceView() = default;

  virtual int64_t tokens() const = 0;
  virtual const Policy& policy() const = 0;

  /// Takes the chunk's keys and values into the layer's window, settles fates and seals the tokens
  /// that leave the window with this chunk.
  virtual void append(const LayerChunk& chunk) = 0;

  /// What queries at `first` .. `first + positions - 1` see in one head. Overwrites `out`.
  virtual void gather(
      int64_t layer, int64_t kv_head, int64_t first, int64_t positions, TilePages& out) const = 0;

  /// The chunk's attention in this layer is done: sealed tokens' window pages are given back, and
  /// what the policy plans is carried out.
  virtual void finish_layer(int64_t layer) = 0;

  /// Every layer has the chunk: it now belongs to the sequence.
  virtual void commit(int64_t count) = 0;
};

}  // namespace dms::cache
