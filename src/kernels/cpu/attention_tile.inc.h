#pragma once
// Attention in registers, for every instruction set with fused multiply-adds. Included inside an
// anonymous namespace by a file that defines the page types. A page type has, besides plain vector
// arithmetic on its `Vector` of kLanes floats:
// - Words: kLanes words of a page, by load_words(); kPack: elements in such a word.
// - kLooksUp: it has Int8Source, Fp8Source and Points16Source, whose words() give a vector of Words
// of codes.
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
// maximum, and adds the weighted values (chains over tokens) to the output. A lone tile of few rows
// looks codes up as it multiplies them, if it can; else they become bf16 words before, by
// expand(kind, call), once a block for all tiles. Maxima are kept as score * log2(e) until the end.
// Rows never mix: a row's bits do not depend on its tile.

#include "kernels/cpu/attention_block.inc.h"

/// Words as they lie in pages or were expanded.
template <class Type>
struct PlainSource {
  typename Type::Words words(const char* side, int64_t vector) const {
    return Type::load_words(side + vector * Type::kLanes * kWordBytes);
  }
};

/// Calls work() with what gives the words of a side to tiles of R rows.
template <class Type, unsigned R, class Work>
inline void with_source(const TileState<Type>& state, const PageSide& side, const Work& work) {
  if constexpr (R <= kMaxUnevenRows && Type::kLooksUp) {
    if (state.expansion.is_looked_up && side.codes == CodeKind::int8) {
      return work(typename Type::Int8Source());
    }
    if (state.expansion.is_looked_up && side.codes == CodeKind::fp8) {
      return work(typename Type::Fp8Source());
    }
    if (state.expansion.is_looked_up && side.codes == CodeKind::points16) {
      return work(typename Type::Points16Source(side.points));
    }
  }
  work(PlainSource<Type>());
}

/// scores[r][n * kLanes ...] = q[r] . k for V vectors of slots, of which the first page's begin
/// with vector `part` of the page.
template <class Type, unsigned R, unsigned V, class Source>
inline void dot_keys(const Source& source,
                     const typename Type::Word* q,
                     const Operand* pages,
                     int64_t part,
                     int64_t key_words,
                     float* scores) {
  constexpr unsigned kPart = Type::kPageScoreVectors;
  constexpr int64_t kPageVectors = kPageSlots / Type::kLanes;
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
      words[v] = source.words(pages[v / kPart].data, w * kPageVectors + part + v % kPart);
      if (kPrefetches<R> && v % kPart == 0) pages[v / kPart].fetch(w * kLineBytes);
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
template <class Type, unsigned R, unsigned P, class Source>
inline void score_pages(const Source& source,
                        const TileState<Type>& state,
                        const Block& block,
                        int64_t first) {
  constexpr unsigned kPageVectors = kPageSlots / Type::kLanes;
  constexpr unsigned kVectors = Type::kPageScoreVectors;
  const auto* q = block.pages[first]->far ? state.q_far : state.q;
  const int64_t key_words = state.call->head_dim_padded / Type::kPack;
  for (unsigned part = 0; part < kPageVectors; part += kVectors) {
    dot_keys<Type, R, P * kVectors>(source,
                                    q,
                                    block.keys + first,
                                    part,
                                    key_words,
                                    state.scores + first * kPageSlots + part * Type::kLanes);
  }
}

inline bool same_queries(const Block& block, int64_t first, int64_t count) {
  bool same = true;
  for (int64_t i = 1; i < count; ++i)
    same &= block.pages[first + i]->far == block.pages[first]->far;
  return same;
}

/// What makes exponents of 2 of a row's scores.
inline float log2_scale(const AttendCall& call) {
  return (call.soft_cap > 0 ? call.soft_cap : call.scale) * kLog2E;
}

template <class Type, unsigned R>
inline void add_biases(const TileState<Type>& state, const Block& block, const Tile& tile) {
  const AttendCall& call = *state.call;
  for (int64_t i = 0; i < block.count; ++i) {
    const PageRef& page = *block.pages[i];
    if (page.biases == nullptr) continue;
    const bool shifts = page.far && call.far_biases != nullptr;
    for (unsigned r = 0; r < R; ++r) {
      const int64_t row = tile.first_row + r;
      add_page_biases<Type>(page.biases + row % call.group * kPageSlots,
                            shifts ? call.far_biases[row] : 0.0f,
                            state.scores + r * kAttendBlockTokens + i * kPageSlots);
    }
  }
}

template <class Type, unsigned R>
inline void squash_block(const TileState<Type>& state, const Block& block) {
  const AttendCall& call = *state.call;
  if (!(call.soft_cap > 0)) return;
  for (unsigned r = 0; r < R; ++r) {
    for (int64_t i = 0; i < block.count; ++i) {
      squash_scores<Type>(call.scale / call.soft_cap,
                          state.scores + r * kAttendBlockTokens + i * kPageSlots);
    }
  }
}

template <class Type, unsigned R>
inline void score_block(const TileState<Type>& state, const Block& block) {
  constexpr unsigned kPages = Type::score_pages(R);
  const PageSide& keys = state.call->keys;
  with_source<Type, R>(state, keys, [&](const auto& source) {
    int64_t i = 0;
    if constexpr (kPages > 1) {
      for (; i + kPages <= block.count && same_queries(block, i, kPages); i += kPages) {
        score_pages<Type, R, kPages>(source, state, block, i);
      }
    }
    for (; i < block.count; ++i) score_pages<Type, R, 1>(source, state, block, i);
  });
  if (keys.codes == CodeKind::none) return;
  for (int64_t i = 0; i < block.count; ++i) {
    const char* scales = page_scales(keys, *block.pages[i]);
    for (unsigned r = 0; r < R; ++r) {
      scale_scores<Type>(scales, state.scores + r * kAttendBlockTokens + i * kPageSlots);
    }
  }
}

/// output[r][channel ...] = output * alpha[r] + weights[r] . values for V vectors of channels.
template <class Type, unsigned R, unsigned V, class Source>
inline void add_values(const Source& source,
                       const TileState<Type>& state,
                       const Block& block,
                       const float* alpha,
                       int64_t channel,
                       int64_t channels,
                       float* output) {
  constexpr int64_t kPageWords = kPageSlots / Type::kPack;
  constexpr int64_t kWeightStride = kAttendBlockTokens / Type::kPack;
  const int64_t head_dim = state.call->head_dim;
  const int64_t row_vectors = state.call->head_dim_padded / Type::kLanes;
  typename Type::Vector sums[V][R];
#pragma GCC unroll 16
  for (unsigned r = 0; r < R; ++r) {
    const auto factor = Type::set(alpha[r]);
#pragma GCC unroll 16
    for (unsigned v = 0; v < V; ++v) {
      const float* old = output + r * head_dim + channel + v * Type::kLanes;
      sums[v][r] = Type::multiply(factor, Type::load_first(old, channels - v * Type::kLanes));
    }
  }
  for (int64_t i = 0; i < block.count; ++i) {
    const Operand& values = block.values[i];
    const typename Type::Word* weights = state.weights + i * kPageWords;
    for (int64_t w = 0; w < kPageWords; ++w) {
      typename Type::Words words[V];
#pragma GCC unroll 16
      for (unsigned v = 0; v < V; ++v) {
        const int64_t vector = w * row_vectors + channel / Type::kLanes + v;
        words[v] = source.words(values.data, vector);
        if (kPrefetches<R>) values.fetch(vector * Type::kLanes * kWordBytes);
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
  add_biases<Type, R>(state, block, tile);
  squash_block<Type, R>(state, block);
  float alpha[2 * kAttendTileRows];
  soften_block<Type>(state, block, tile, alpha);
  constexpr unsigned kVectors = Type::value_vectors(R);
  with_source<Type, R>(state, state.call->values, [&](const auto& source) {
    int64_t channel = 0;
    for (; channel + (kVectors - 1) * Type::kLanes < head_dim; channel += kVectors * Type::kLanes) {
      add_values<Type, R, kVectors>(
          source, state, block, alpha, channel, head_dim - channel, output);
    }
    for (; channel < head_dim; channel += Type::kLanes) {
      add_values<Type, R, 1>(source, state, block, alpha, channel, head_dim - channel, output);
    }
  });
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
  auto* expanded = static_cast<char*>(call.workspace);
  auto* q = reinterpret_cast<Word*>(expanded + 2 * kBlockPages * side_bytes(call));
  Word* q_far = q + rows * key_words;
  TileState<Type> state{};
  state.call = &call;
  state.weights = q_far + rows * key_words;
  state.scores =
      reinterpret_cast<float*>(state.weights + kAttendTileRows * kAttendBlockTokens / Type::kPack);
  state.log2_scale = log2_scale(call);
  state.expansion = {expanded, Type::kLooksUp && rows <= kMaxUnevenRows};
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
    expand_block(call, first, state.expansion);
    for (int64_t row = 0; row < rows;) {
      const Tile tile = make_tile<Type>(call, row);
      row += tile.rows;
      const Block block = visible_pages(call, first, tile, is_lone_tile, state.expansion);
      if (block.count == 0) continue;
      state.q = q + tile.first_row * key_words;
      state.q_far = call.q_far == call.q ? state.q : q_far + tile.first_row * key_words;
      attend_block_of_any_rows<Type>(state, block, tile);
    }
  }
  for (int64_t r = 0; r < rows; ++r) call.max[r] *= kLn2;
}
