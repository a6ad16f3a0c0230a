// The product of a tile of rows with a panel, included by the AVX2 and AVX-512 files into their
// anonymous namespaces. A Math gives the vectors and the arithmetic of one type of weights:
//   kParts            words of activations per column group: one, or the two columns of a bf16 pair
//   Word              a word of activations
//   part(words, p)    the p-th columns of a vector of weight words
//   multiply_add(sum, factor, part)

/// Bytes of weights asked for ahead of their use: more than memory's latency times a core's
/// bandwidth (5 KiB), since the tallest tiles look least far ahead by themselves.
constexpr int64_t kPrefetchBytes = 8192;

template <int kRows, int kVectors, class Visit>
inline void for_each_sum(Visit visit) {
#pragma GCC unroll 12
  for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) visit(row, v);
  }
}

template <class Math, int kRows, int kVectors>
inline void multiply_columns(const MultiplyTileCall& call, int64_t first_output) {
  using Word = typename Math::Word;
  constexpr int64_t kGroupBytes = kPanelOutputs * 4;
  const char* panel = static_cast<const char*>(call.panel) + first_output * 4;
  const auto* tile = static_cast<const Word*>(call.tile);
  const auto* next_tile = static_cast<const Word*>(call.next_tile);
  typename Math::Sum sums[size_t{kRows}][size_t{kVectors}];
  for_each_sum<kRows, kVectors>([&](int row, int v) {
    const float* from = call.sums + row * kPanelOutputs + first_output + v * kLanes;
    sums[row][v] = call.resume ? Math::load(from) : typename Math::Sum{};
  });
  for (int64_t group = 0; group < call.column_groups; ++group) {
    __builtin_prefetch(panel + kPrefetchBytes);
    if constexpr (kVectors * kLanes * 4 > 64) __builtin_prefetch(panel + kPrefetchBytes + 64);
    __builtin_prefetch(next_tile, 0, 2);
#pragma GCC unroll 2
    for (int p = 0; p < Math::kParts; ++p) {
      typename Math::Part parts[size_t{kVectors}];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) parts[v] = Math::part(panel + v * kLanes * 4, p);
#pragma GCC unroll 12
      for (int row = 0; row < kRows; ++row) {
        const typename Math::Factor factor = Math::broadcast(tile + row * Math::kParts + p);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          sums[row][v] = Math::multiply_add(sums[row][v], factor, parts[v]);
        }
      }
    }
    panel += kGroupBytes;
    tile += kRows * Math::kParts;
    next_tile += kRows * Math::kParts;
  }
  for_each_sum<kRows, kVectors>([&](int row, int v) {
    Math::store(call.sums + row * kPanelOutputs + first_output + v * kLanes, sums[row][v]);
  });
}

template <class Math, int kRows>
void multiply_rows(const MultiplyTileCall& call) {
  constexpr int kVectors = Math::vectors(kRows);
  for (int64_t output = 0; output < kPanelOutputs; output += kVectors * kLanes) {
    multiply_columns<Math, kRows, kVectors>(call, output);
  }
}

template <class Math, int kRows = 1>
void multiply_tile(const MultiplyTileCall& call) {
  if constexpr (kRows == kTileRows) {
    multiply_rows<Math, kRows>(call);
  } else if (call.rows == kRows) {
    multiply_rows<Math, kRows>(call);
  } else {
    multiply_tile<Math, kRows + 1>(call);
  }
}

/// Packs groups of `kColumns` columns; convert(x, count, words) makes one row's words of a group.
template <class Word, int kColumns, int kWords, class Convert>
inline void pack_tile(const PackTileCall& call, Convert convert) {
  auto* tile = static_cast<Word*>(call.tile);
  for (int64_t row = 0; row < call.rows; ++row) {
    const float* x = call.x + row * call.columns;
    Word* words = tile + row * kWords;
    for (int64_t column = 0; column < call.columns; column += kColumns) {
      const bool is_whole = column + kColumns <= call.columns;
      convert(x[column], is_whole ? x[column + kColumns - 1] : 0.0f, words);
      words += call.rows * kWords;
    }
  }
}
