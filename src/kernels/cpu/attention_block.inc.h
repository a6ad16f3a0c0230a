#pragma once
// A block of pages as a tile of rows sees it, and its softmax. Included inside an anonymous
// namespace, like attention_tile.inc.h, which says what a page type provides.

// Tiles have 1 to 8 rows, so that any usual group is one tile in decode, or kMaxRows.
constexpr unsigned kMaxUnevenRows = 8;
constexpr unsigned kPageSlots = 32;
constexpr int64_t kBlockPages = kAttendBlockTokens / kPageSlots;
constexpr int64_t kLineBytes = 64;
constexpr int64_t kWordBytes = 4;
constexpr float kLog2E = 1.44269504088896341f;
constexpr float kLn2 = 0.69314718055994531f;
constexpr float kNoScore = -__builtin_huge_valf();
constexpr float kSmallestExponent = -200.0f;  // exp2 of it is zero

// Decode, a lone tile of few rows, reads each page once, from scattered places, and is bound by
// memory: each phase of a block fetches its part of the next block, so that none leaves the memory
// idle. Tiles of many rows compute for so long that the hardware's prefetching suffices.
template <unsigned R>
constexpr bool kPrefetches = R <= kMaxUnevenRows;

/// 2^x for finite x up to 30; exactly 1 at 0. Relative error 2e-7; zero far below 2^-126.
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

/// What is multiplied of one side of a page, and what to fetch meanwhile: the same side of a page
/// that follows, or, where there is none, what is there already.
struct Operand {
  const char* data;
  const char* next;
  int32_t shrink;  // of `next`, beside `data`

  /// Fetches what becomes the line at `offset`.
  void fetch(int64_t offset) const { __builtin_prefetch(next + (offset >> shrink), 0, 2); }
};

/// The pages of a block that somebody in the tile sees, in the order of the list.
struct Block {
  const PageRef* pages[kBlockPages];
  bool is_masked[kBlockPages];  // some row does not see all of it
  Operand keys[kBlockPages];
  Operand values[kBlockPages];
  int64_t count;
};

/// Where a block's codes become words.
struct Expansion {
  char* words;        // [pages][sides][side_bytes()]
  bool is_looked_up;  // not there but where they are multiplied, if the kind can be
};

/// Everything one tile works on.
template <class Type>
struct TileState {
  const AttendCall* call;
  const typename Type::Word* q;      // [words of a key][rows of the tile]
  const typename Type::Word* q_far;  // the same
  float* scores;                     // [kAttendTileRows][kAttendBlockTokens] q . k
  typename Type::Word* weights;      // [kAttendTileRows][kAttendBlockTokens / kPack]
  float log2_scale;                  // what makes scores exponents of 2: scale * log2(e), or where
                                     // they are squashed the cap's
  Expansion expansion;
};

inline uint32_t visible(const PageRef& page, int64_t position) {
  return page.masks == nullptr ? ~uint32_t{0} : page.masks[position];
}

/// Bytes of a side of a bf16 page.
inline int64_t side_bytes(const AttendCall& call) {
  return kPageSlots * call.head_dim_padded * static_cast<int64_t>(sizeof(uint16_t));
}

inline bool is_seen(const PageRef& page, int64_t positions) {
  uint32_t any = 0;
  for (int64_t p = 0; p < positions; ++p) any |= visible(page, p);
  return any != 0;
}

/// Whether a side is multiplied as expand_block() leaves it.
inline bool is_expanded(const PageSide& side, const Expansion& expansion) {
  const bool can_be = side.codes == CodeKind::int8 || side.codes == CodeKind::fp8 ||
                      side.codes == CodeKind::points16;
  return side.codes != CodeKind::none && !(expansion.is_looked_up && can_be);
}

/// Writes the codes of the block's visible pages as bf16 words.
inline void expand_block(const AttendCall& call, int64_t first, const Expansion& expansion) {
  const PageSide* const sides[] = {&call.keys, &call.values};
  const int64_t left = call.page_count - first;
  for (int64_t i = 0; i < (left < kBlockPages ? left : kBlockPages); ++i) {
    const PageRef& page = call.pages[first + i];
    if (!is_seen(page, call.positions)) continue;
    for (int64_t side = 0; side < 2; ++side) {
      if (!is_expanded(*sides[side], expansion)) continue;
      expand(sides[side]->codes,
             {reinterpret_cast<const char*>(page.data + sides[side]->offset),
              call.head_dim_padded,
              side == 0 ? 2 : 1,
              sides[side]->points,
              reinterpret_cast<uint16_t*>(expansion.words + (i * 2 + side) * side_bytes(call))});
    }
  }
}

/// The side of page `page` of the block; `expanded`: its codes as words, or null.
inline Operand operand(const PageSide& side,
                       const PageRef& page,
                       const PageRef& next,
                       const char* expanded) {
  if (side.codes != CodeKind::none && &next != &page) {
    __builtin_prefetch(next.data + side.scale_offset);
  }
  const auto* codes = reinterpret_cast<const char*>(page.data + side.offset);
  return {expanded != nullptr ? expanded : codes,
          reinterpret_cast<const char*>(next.data + side.offset),
          side.shrink};
}

/// `expansion`: what expand_block() wrote.
inline Block visible_pages(const AttendCall& call,
                           int64_t first,
                           const Tile& tile,
                           bool prefetch,
                           const Expansion& expansion) {
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
    const char* keys = expansion.words + i * 2 * side_bytes(call);
    const char* values = keys + side_bytes(call);
    block.keys[block.count] =
        operand(call.keys, page, next, is_expanded(call.keys, expansion) ? keys : nullptr);
    block.values[block.count] =
        operand(call.values, page, next, is_expanded(call.values, expansion) ? values : nullptr);
    ++block.count;
  }
  return block;
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
inline void fetch_second_key_half(const Operand& keys, int64_t lines, int64_t r, int64_t rows) {
  const int64_t end = lines + lines * (r + 1) / rows;
  for (int64_t line = lines + lines * r / rows; line < end; ++line) {
    keys.fetch(line * kLineBytes);
  }
}

/// Of a side's 32 tokens.
inline const char* page_scales(const PageSide& side, const PageRef& page) {
  return reinterpret_cast<const char*>(page.data + side.scale_offset);
}

/// Makes a page's q . k of what its codes gave.
template <class Type>
inline void scale_scores(const char* scales, float* scores) {
  for (unsigned slot = 0; slot < kPageSlots; slot += Type::kLanes) {
    const auto scaled =
        Type::multiply(Type::load(scores + slot), Type::load_scales(scales + slot * 2));
    Type::store(scores + slot, scaled);
  }
}

/// Adds a page's biases and what they have in common to its q . k.
template <class Type>
inline void add_page_biases(const float* biases, float common, float* scores) {
  const auto shift = Type::set(common);
  for (unsigned slot = 0; slot < kPageSlots; slot += Type::kLanes) {
    const auto bias = Type::add(Type::load(biases + slot), shift);
    Type::store(scores + slot, Type::add(Type::load(scores + slot), bias));
  }
}

/// tanh(factor * score) of a page's scores, to half a unit in the last place of 1. Beyond 10 it
/// is 1 in float32.
template <class Type>
inline void squash_scores(float factor, float* scores) {
  constexpr float kLimit = 10.0f;
  for (unsigned slot = 0; slot < kPageSlots; slot += Type::kLanes) {
    const auto x = Type::multiply(Type::load(scores + slot), Type::set(factor));
    const auto power = exp2<Type>(Type::multiply(Type::clamp(x, kLimit), Type::set(2 * kLog2E)));
    const auto rest = Type::divide(Type::set(2.0f), Type::add(Type::set(1.0f), power));
    Type::store(scores + slot, Type::subtract(Type::set(1.0f), rest));
  }
}

/// Writes the row's softmax weights exp2(log2_scale * score - max) and returns their sum.
template <class Type>
inline float row_weights(
    const TileState<Type>& state, const Block& block, const Tile& tile, int64_t r, float max) {
  const float* scores = state.scores + r * kAttendBlockTokens;
  const int64_t key_words = state.call->head_dim_padded / Type::kPack;
  typename Type::Word* weights = state.weights + r * (kAttendBlockTokens / Type::kPack);
  const PageSide& values = state.call->values;
  const auto scale = Type::set(state.log2_scale);
  const auto shift = Type::set(-max);
  auto sum = Type::set(0.0f);
  for (int64_t i = 0; i < block.count; ++i) {
    const uint32_t mask =
        block.is_masked[i] ? visible(*block.pages[i], tile.positions[r]) : ~uint32_t{0};
    fetch_second_key_half(block.keys[i], key_words, r, tile.rows);
#pragma GCC unroll 2
    for (unsigned v = 0; v < kPageSlots / Type::kLanes; v += 2) {
      const int64_t slot = i * kPageSlots + v * Type::kLanes;
      const auto low = exp2<Type>(Type::fma(Type::load(scores + slot), scale, shift));
      const auto high =
          exp2<Type>(Type::fma(Type::load(scores + slot + Type::kLanes), scale, shift));
      const auto seen_low = Type::keep_where(Type::mask(mask, v), low);
      const auto seen_high = Type::keep_where(Type::mask(mask, v + 1), high);
      if (values.codes != CodeKind::none) {
        const char* scales = page_scales(values, *block.pages[i]) + v * Type::kLanes * 2;
        Type::pack_weights(Type::multiply(seen_low, Type::load_scales(scales)),
                           Type::multiply(seen_high, Type::load_scales(scales + Type::kLanes * 2)),
                           weights + slot / Type::kPack,
                           sum);
        sum = Type::add(sum, Type::add(seen_low, seen_high));
      } else {
        sum = Type::pack_weights(seen_low, seen_high, weights + slot / Type::kPack, sum);
      }
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
