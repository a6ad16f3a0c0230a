#pragma once
// Attention in registers, for every instruction set with fused multiply-adds. Included inside an
// anonymous namespace by a file that defines the page types. A page type has, besides plain vector
// arithmetic on its `Vector` of kLanes floats:
// - Words: kLanes words of a page, by load_words(); kPack: elements in such a word.
// - load_scales(): kLanes scales of tokens, which go into whole scores and weights.
// - Word: a query's or weight's counterpart of one page word; Factor: the same in all lanes, by
//   broadcast(); multiply_add() adds the products of a Factor and Words to sums.
// - pack() turns floats into Word; pack_weights() does so for two vectors of softmax weights and
//   adds them up as they were rounded.
// - kMaxRows: rows whose sums fit in registers beside two vectors of a page; kPageScoreVectors:
//   vectors of a page's slots that are scored at a time.
// - score_pages(rows), value_vectors(rows): pages scored and vectors of channels summed together:
//   few rows make few chains of additions to overlap.
//
// The pages are taken in blocks of kBlockPages. For each block, every tile of at most kMaxRows rows
// computes its scores (chains over channels), the block's softmax relative to the row's running
// maximum, and adds the weighted values (chains over tokens) to the output. Codes become bf16 words
// before, by expand(kind, call), once a block for all tiles. Maxima are kept as
// score * log2(e) until the end. Rows never mix: a row's bits do not depend on its tile.

#include "kernels/cpu/attention_block.inc.h"

/// scores[r][n * kLanes ...] = q[r] . k for V vectors of slots; keys[n] is the vector's first word.
template <class Type, unsigned R, unsigned V>
inline void dot_keys(const typename Type::Word* q,
                     const char* const (&keys)[V],
                     const char* const (&next)[V / Type::kPageScoreVectors],
                     int64_t key_words,
                     float* scores) {
  constexpr unsigned kPart = Type::kPageScoreVectors;
  constexpr int64_t kKeyRow = kPageSlots * kWordBytes;
  typename Type::Vector sums[V][R];
#pragma GCC unroll 16
  for (unsigned v = 0; v < V; ++v) {
#pragma GCC unroll 16
    for (unsigned r = 0; r < R; ++r) sums[v][r] = Type::set(0.0f);
  }
  for (int64_t w = 0; w < key_words; ++w) {
    typename Type::Words words[V];
#pragma GCC unroll 16
    for (unsigned v = 0; v < V; ++v) {
      words[v] = Type::load_words(keys[v] + w * kKeyRow);
      if (kPrefetches<R> && v % kPart == 0) __builtin_prefetch(next[v / kPart] + w * kLineBytes);
    }
#pragma GCC unroll 16
    for (unsigned r = 0; r < R; ++r) {
      const typename Type::Factor factor = Type::broadcast(q + w * R + r);
#pragma GCC unroll 16
      for (unsigned v = 0; v < V; ++v)
        sums[v][r] = Type::multiply_add(sums[v][r], factor, words[v]);
    }
  }
#pragma GCC unroll 16
  for (unsigned r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (unsigned v = 0; v < V; ++v) {
      const int64_t slot = v / kPart * kPageSlots + v % kPart * Type::kLanes;
      Type::store(scores + r * kAttendBlockTokens + slot, sums[v][r]);
    }
  }
}

/// Scores of the pages [first, first + P) of the block in one go.
template <class Type, unsigned R, unsigned P>
inline void score_pages(const TileState<Type>& state, const Block& block, int64_t first) {
  constexpr unsigned kPageVectors = kPageSlots / Type::kLanes;
  constexpr unsigned kVectors = Type::kPageScoreVectors;
  const auto* q = block.pages[first]->far ? state.q_far : state.q;
  const int64_t key_words = state.call->head_dim_padded / Type::kPack;
  for (unsigned part = 0; part < kPageVectors; part += kVectors) {
    const char* keys[P * kVectors];
    const char* next[P];
    for (unsigned p = 0; p < P; ++p) {
      const Operand& page = block.keys[first + p];
      for (unsigned v = 0; v < kVectors; ++v) {
        keys[p * kVectors + v] = page.data + (part + v) * Type::kLanes * kWordBytes;
      }
      next[p] = page.next;
    }
    dot_keys<Type, R, P * kVectors>(
        q, keys, next, key_words, state.scores + first * kPageSlots + part * Type::kLanes);
  }
}

inline bool same_queries(const Block& block, int64_t first, int64_t count) {
  bool same = true;
  for (int64_t i = 1; i < count; ++i)
    same &= block.pages[first + i]->far == block.pages[first]->far;
  return same;
}

template <class Type, unsigned R>
inline void score_block(const TileState<Type>& state, const Block& block) {
  constexpr unsigned kPages = Type::score_pages(R);
  int64_t i = 0;
  if constexpr (kPages > 1) {
    for (; i + kPages <= block.count && same_queries(block, i, kPages); i += kPages) {
      score_pages<Type, R, kPages>(state, block, i);
    }
  }
  for (; i < block.count; ++i) score_pages<Type, R, 1>(state, block, i);
  const PageSide& keys = state.call->keys;
  if (keys.codes == CodeKind::none) return;
  for (i = 0; i < block.count; ++i) {
    const char* scales = page_scales(keys, *block.pages[i]);
    for (unsigned r = 0; r < R; ++r) {
      scale_scores<Type>(scales, state.scores + r * kAttendBlockTokens + i * kPageSlots);
    }
  }
}

/// output[r][channel ...] = output * alpha[r] + weights[r] . values for V vectors of channels.
template <class Type, unsigned R, unsigned V>
inline void add_values(const TileState<Type>& state,
                       const Block& block,
                       const float* alpha,
                       int64_t channel,
                       int64_t channels,
                       float* output) {
  constexpr int64_t kPageWords = kPageSlots / Type::kPack;
  constexpr int64_t kWeightStride = kAttendBlockTokens / Type::kPack;
  const int64_t head_dim = state.call->head_dim;
  const int64_t value_row = state.call->head_dim_padded * kWordBytes;
  typename Type::Vector sums[V][R];
#pragma GCC unroll 16
  for (unsigned r = 0; r < R; ++r) {
    const auto factor = Type::set(alpha[r]);
#pragma GCC unroll 16
    for (unsigned v = 0; v < V; ++v) {
      const float* source = output + r * head_dim + channel + v * Type::kLanes;
      sums[v][r] = Type::multiply(factor, Type::load_first(source, channels - v * Type::kLanes));
    }
  }
  for (int64_t i = 0; i < block.count; ++i) {
    const char* values = block.values[i].data + channel * kWordBytes;
    const char* next = block.values[i].next + channel * kWordBytes;
    const typename Type::Word* weights = state.weights + i * kPageWords;
    for (int64_t w = 0; w < kPageWords; ++w) {
      typename Type::Words words[V];
#pragma GCC unroll 16
      for (unsigned v = 0; v < V; ++v) {
        const int64_t offset = w * value_row + v * Type::kLanes * kWordBytes;
        words[v] = Type::load_words(values + offset);
        if (kPrefetches<R>) __builtin_prefetch(next + offset);
      }
#pragma GCC unroll 16
      for (unsigned r = 0; r < R; ++r) {
        const typename Type::Factor factor = Type::broadcast(weights + r * kWeightStride + w);
#pragma GCC unroll 16
        for (unsigned v = 0; v < V; ++v)
          sums[v][r] = Type::multiply_add(sums[v][r], factor, words[v]);
      }
    }
  }
#pragma GCC unroll 16
  for (unsigned r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (unsigned v = 0; v < V; ++v) {
      float* target = output + r * head_dim + channel + v * Type::kLanes;
      Type::store_first(target, sums[v][r], channels - v * Type::kLanes);
    }
  }
}

template <class Type, unsigned R>
void attend_block(const TileState<Type>& state, const Block& block, const Tile& tile) {
  const int64_t head_dim = state.call->head_dim;
  float* output = state.call->output + tile.first_row * head_dim;
  score_block<Type, R>(state, block);
  float alpha[2 * kAttendTileRows];
  soften_block<Type>(state, block, tile, alpha);
  constexpr unsigned kVectors = Type::value_vectors(R);
  int64_t channel = 0;
  for (; channel + (kVectors - 1) * Type::kLanes < head_dim; channel += kVectors * Type::kLanes) {
    add_values<Type, R, kVectors>(state, block, alpha, channel, head_dim - channel, output);
  }
  for (; channel < head_dim; channel += Type::kLanes) {
    add_values<Type, R, 1>(state, block, alpha, channel, head_dim - channel, output);
  }
}

/// words[w][row] for the rows of a tile.
template <class Type>
void pack_tile(const AttendCall& call,
               const float* q,
               const Tile& tile,
               typename Type::Word* words) {
  constexpr unsigned kVectorWords = Type::kLanes / Type::kPack;
  for (int64_t r = 0; r < tile.rows; ++r) {
    const int64_t head = (tile.first_row + r) % call.group;
    const float* row = q + tile.positions[r] * call.q_position_stride + head * call.head_dim;
    for (int64_t c = 0; c < call.head_dim_padded; c += Type::kLanes) {
      typename Type::Word packed[kVectorWords];
      Type::pack(c < call.head_dim ? Type::load_first(row + c, call.head_dim - c) : Type::set(0),
                 packed);
      const int64_t first = c / Type::kPack;
      for (int64_t w = 0; w < kVectorWords; ++w) words[(first + w) * tile.rows + r] = packed[w];
    }
  }
}

// Tiles have 1 to 8 rows, so that any usual group is one tile in decode, or kMaxRows.
constexpr unsigned kMaxUnevenRows = 8;

/// The tile that begins with `first_row`.
template <class Type>
inline Tile make_tile(const AttendCall& call, int64_t first_row) {
  const int64_t left = call.positions * call.group - first_row;
  Tile tile{};
  tile.first_row = first_row;
  tile.rows = left >= Type::kMaxRows ? Type::kMaxRows : left;
  if (tile.rows > kMaxUnevenRows && tile.rows < Type::kMaxRows) tile.rows = (left + 1) / 2;
  int64_t position = first_row / call.group;
  int64_t head = first_row % call.group;
  for (int64_t r = 0; r < tile.rows; ++r) {
    tile.positions[r] = position;
    if (++head < call.group) continue;
    head = 0;
    ++position;
  }
  return tile;
}

template <class Type, unsigned R = Type::kMaxRows>
inline void attend_block_of_any_rows(const TileState<Type>& state,
                                     const Block& block,
                                     const Tile& tile) {
  if constexpr (R > 0) {
    if (tile.rows == R) return attend_block<Type, R>(state, block, tile);
    constexpr unsigned kNext = R > kMaxUnevenRows ? kMaxUnevenRows : R - 1;
    attend_block_of_any_rows<Type, kNext>(state, block, tile);
  }
}

inline void clear(const AttendCall& call) {
  const int64_t rows = call.positions * call.group;
  for (int64_t r = 0; r < rows; ++r) call.max[r] = kNoScore;
  for (int64_t r = 0; r < rows; ++r) call.sum[r] = 0;
  for (int64_t i = 0; i < rows * call.head_dim; ++i) call.output[i] = 0;
}

template <class Type>
void attend(const AttendCall& call) {
  using Word = typename Type::Word;
  const int64_t rows = call.positions * call.group;
  const int64_t key_words = call.head_dim_padded / Type::kPack;
  const bool is_lone_tile = make_tile<Type>(call, 0).rows == rows;
  const bool has_codes = call.keys.codes != CodeKind::none || call.values.codes != CodeKind::none;
  auto* expanded = static_cast<char*>(call.workspace);
  auto* q = reinterpret_cast<Word*>(expanded + 2 * kBlockPages * side_bytes(call));
  Word* q_far = q + rows * key_words;
  TileState<Type> state{};
  state.call = &call;
  state.weights = q_far + rows * key_words;
  state.scores =
      reinterpret_cast<float*>(state.weights + kAttendTileRows * kAttendBlockTokens / Type::kPack);
  state.log2_scale = call.scale * kLog2E;
  clear(call);
  for (int64_t row = 0; row < rows;) {
    const Tile tile = make_tile<Type>(call, row);
    row += tile.rows;
    pack_tile<Type>(call, call.q, tile, q + tile.first_row * key_words);
    if (call.q_far != call.q) {
      pack_tile<Type>(call, call.q_far, tile, q_far + tile.first_row * key_words);
    }
  }
  for (int64_t first = 0; first < call.page_count; first += kBlockPages) {
    if (has_codes) expand_block(call, first, is_lone_tile, expanded);
    for (int64_t row = 0; row < rows;) {
      const Tile tile = make_tile<Type>(call, row);
      row += tile.rows;
      const Block block = visible_pages(call, first, tile, is_lone_tile, expanded);
      if (block.count == 0) continue;
      state.q = q + tile.first_row * key_words;
      state.q_far = call.q_far == call.q ? state.q : q_far + tile.first_row * key_words;
      attend_block_of_any_rows<Type>(state, block, tile);
    }
  }
  for (int64_t r = 0; r < rows; ++r) call.max[r] *= kLn2;
}
