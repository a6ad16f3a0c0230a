// Attention in registers, for every instruction set with fused multiply-adds. Included inside an
// anonymous namespace by a file that defines the page types; a page type `Type` provides
//   kLanes              floats in a vector
//   kMaxRows            rows whose sums fit in registers beside two vectors of the page
//   Vector              kLanes floats
//   Word                what the chain multiplies: a query's or a weight's part of a 32-bit page
//   word Factor, broadcast() a Word in all lanes Words, load_words() kLanes words of a page
//   multiply_add()      sum + the products of a Factor and Words
//   pack()              a vector of floats to Words
//   pack_weights()      two vectors of softmax weights to Words, adding them up as they are rounded
//   kPack               elements in a page word
//   kPageScoreVectors   vectors of a page's slots that are scored at a time
//   score_pages(rows)   pages scored at a time: few rows make few chains of additions to overlap
//   value_vectors(rows) vectors of channels whose weighted sums are taken at a time
// besides plain vector arithmetic. Rows never mix: a row's bits do not depend on its tile.
//
// The pages are taken in blocks of kBlockPages. For each block, every tile of at most kMaxRows rows
// computes its scores (chains over channels), the block's softmax relative to the row's running
// maximum, and adds the weighted values (chains over tokens) to the output. Maxima are kept as
// score * log2(e) until the end.

constexpr unsigned kPageSlots = 32;
constexpr int64_t kWordBytes = 4;
constexpr int64_t kBlockPages = kAttendBlockTokens / kPageSlots;
constexpr int64_t kLineBytes = 64;
constexpr float kLog2E = 1.44269504088896341f;
constexpr float kLn2 = 0.69314718055994531f;
constexpr float kNoScore = -__builtin_huge_valf();
constexpr float kSmallestExponent = -200.0f;  // exp2 of it is zero

// Decode, a lone tile of few rows, reads each page once, from scattered places, and is bound by
// memory: each phase of a block fetches its part of the next block, so that none leaves the memory
// idle. Tiles of many rows compute for so long that the hardware's prefetching suffices.
template <unsigned R>
constexpr bool kPrefetches = R <= 8;

/// 2^x for finite x <= 0 (up to rounding); exactly 1 at 0. Relative error 2e-7; zero far below
/// 2^-126.
template <class Type>
inline typename Type::Vector exp2(typename Type::Vector x) {
  const auto whole = Type::round(x);
  const auto f = Type::subtract(x, whole);
  auto p = Type::set(0x1.5bba14p-10f);
  p = Type::fma(p, f, Type::set(0x1.3cea88p-7f));
  p = Type::fma(p, f, Type::set(0x1.c6b752p-5f));
  p = Type::fma(p, f, Type::set(0x1.ebf9bcp-3f));
  p = Type::fma(p, f, Type::set(0x1.62e42ap-1f));
  p = Type::fma(p, f, Type::set(1.0f));
  return Type::scale_by_power(p, whole);
}

/// Up to kMaxRows neighbouring rows.
struct Tile {
  int64_t first_row;
  int64_t rows;
  int64_t positions[kAttendTileRows];
};

/// The pages of a block that somebody in the tile sees, in the order of the list.
struct Block {
  const PageRef* pages[kBlockPages];
  bool is_masked[kBlockPages];    // some row does not see all of it
  const char* next[kBlockPages];  // the page to fetch meanwhile; the page itself if none
  int64_t count;
};

/// Everything one tile works on.
template <class Type>
struct TileState {
  const AttendCall* call;
  const typename Type::Word* q;      // [words of a key][rows of the tile]
  const typename Type::Word* q_far;  // the same
  float* scores;                     // [kAttendTileRows][kAttendBlockTokens] q . k
  typename Type::Word* weights;      // [kAttendTileRows][kAttendBlockTokens / kPack]
  float log2_scale;                  // scale * log2(e)
};

inline uint32_t visible(const PageRef& page, int64_t position) {
  return page.masks == nullptr ? ~uint32_t{0} : page.masks[position];
}

inline Block visible_pages(const AttendCall& call, int64_t first, const Tile& tile, bool prefetch) {
  const int64_t left = call.page_count - first;
  Block block{};
  const int64_t low = tile.positions[0];
  const int64_t high = tile.positions[tile.rows - 1];
  for (int64_t i = 0; i < (left < kBlockPages ? left : kBlockPages); ++i) {
    const PageRef& page = call.pages[first + i];
    uint32_t any = 0;
    uint32_t all = ~uint32_t{0};
    for (int64_t p = low; p <= high; ++p) {
      any |= visible(page, p);
      all &= visible(page, p);
    }
    if (any == 0) continue;
    block.pages[block.count] = &page;
    block.is_masked[block.count] = all != ~uint32_t{0};
    const bool has_next = prefetch && i + kBlockPages < left;
    const PageRef& next = has_next ? call.pages[first + i + kBlockPages] : page;
    block.next[block.count] = reinterpret_cast<const char*>(next.data);
    ++block.count;
  }
  return block;
}

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
      const char* page = reinterpret_cast<const char*>(block.pages[first + p]->data);
      for (unsigned v = 0; v < kVectors; ++v) {
        keys[p * kVectors + v] = page + (part + v) * Type::kLanes * kWordBytes;
      }
      next[p] = block.next[first + p];
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
}

/// The largest q . k that `row` sees in the block, -inf if none.
template <class Type>
inline float row_max(const TileState<Type>& state,
                     const Block& block,
                     const Tile& tile,
                     int64_t r) {
  const float* scores = state.scores + r * kAttendBlockTokens;
  auto max = Type::set(kNoScore);
  for (int64_t i = 0; i < block.count; ++i) {
    const uint32_t mask =
        block.is_masked[i] ? visible(*block.pages[i], tile.positions[r]) : ~uint32_t{0};
    for (unsigned v = 0; v < kPageSlots / Type::kLanes; ++v) {
      const auto score = Type::load(scores + i * kPageSlots + v * Type::kLanes);
      max = Type::max_where(max, Type::mask(mask, v), score);
    }
  }
  return Type::reduce_max(max);
}

/// Row r's part of the lines that the scores' loop has left out.
inline void prefetch_second_key_half(const char* page, int64_t lines, int64_t r, int64_t rows) {
  const int64_t end = lines + lines * (r + 1) / rows;
  for (int64_t line = lines + lines * r / rows; line < end; ++line) {
    __builtin_prefetch(page + line * kLineBytes);
  }
}

/// Writes the row's softmax weights exp2(log2_scale * score - max) and returns their sum.
template <class Type>
inline float row_weights(
    const TileState<Type>& state, const Block& block, const Tile& tile, int64_t r, float max) {
  const float* scores = state.scores + r * kAttendBlockTokens;
  const int64_t key_words = state.call->head_dim_padded / Type::kPack;
  typename Type::Word* weights = state.weights + r * (kAttendBlockTokens / Type::kPack);
  const auto scale = Type::set(state.log2_scale);
  const auto shift = Type::set(-max);
  auto sum = Type::set(0.0f);
  for (int64_t i = 0; i < block.count; ++i) {
    const uint32_t mask =
        block.is_masked[i] ? visible(*block.pages[i], tile.positions[r]) : ~uint32_t{0};
    prefetch_second_key_half(block.next[i], key_words, r, tile.rows);
#pragma GCC unroll 2
    for (unsigned v = 0; v < kPageSlots / Type::kLanes; v += 2) {
      const int64_t slot = i * kPageSlots + v * Type::kLanes;
      const auto low = exp2<Type>(Type::fma(Type::load(scores + slot), scale, shift));
      const auto high =
          exp2<Type>(Type::fma(Type::load(scores + slot + Type::kLanes), scale, shift));
      sum = Type::pack_weights(Type::keep_where(Type::mask(mask, v), low),
                               Type::keep_where(Type::mask(mask, v + 1), high),
                               weights + slot / Type::kPack,
                               sum);
    }
  }
  return Type::reduce_add(sum);
}

/// The block's softmax for all rows of the tile; alpha[r] is what the row's earlier sums count for.
template <class Type>
inline void soften_block(const TileState<Type>& state,
                         const Block& block,
                         const Tile& tile,
                         float* alpha) {
  float* running_max = state.call->max + tile.first_row;
  float* running_sum = state.call->sum + tile.first_row;
  float shifts[kAttendTileRows];
  float drops[2 * kAttendTileRows] = {};
  for (int64_t r = 0; r < tile.rows; ++r) {
    const float old_max = running_max[r];
    const float block_max = row_max<Type>(state, block, tile, r) * state.log2_scale;
    const float max = block_max > old_max ? block_max : old_max;
    running_max[r] = max;
    shifts[r] = max == kNoScore ? 0.0f : max;
    drops[r] = old_max == max ? 0.0f : old_max - max;
    drops[r] = drops[r] > kSmallestExponent ? drops[r] : kSmallestExponent;
  }
  for (int64_t r = 0; r < tile.rows; r += Type::kLanes) {
    Type::store(alpha + r, exp2<Type>(Type::load(drops + r)));
  }
  for (int64_t r = 0; r < tile.rows; ++r) {
    running_sum[r] =
        running_sum[r] * alpha[r] + row_weights<Type>(state, block, tile, r, shifts[r]);
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
  const int64_t value_offset = value_row * kPageWords + channel * kWordBytes;
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
    const char* values = reinterpret_cast<const char*>(block.pages[i]->data) + value_offset;
    const char* next = block.next[i] + value_offset;
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
      Type::pack(Type::load_first(row + c, call.head_dim - c), packed);
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
  auto* q = static_cast<Word*>(call.workspace);
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
    for (int64_t row = 0; row < rows;) {
      const Tile tile = make_tile<Type>(call, row);
      row += tile.rows;
      const Block block = visible_pages(call, first, tile, is_lone_tile);
      if (block.count == 0) continue;
      state.q = q + tile.first_row * key_words;
      state.q_far = call.q_far == call.q ? state.q : q_far + tile.first_row * key_words;
      attend_block_of_any_rows<Type>(state, block, tile);
    }
  }
  for (int64_t r = 0; r < rows; ++r) call.max[r] *= kLn2;
}
