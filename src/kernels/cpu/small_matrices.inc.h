// Products of small matrices and plane rotations, included by the AVX2 and AVX-512 files into their
// anonymous namespaces after kVectorBytes.

template <class Number>
struct VectorOf;
template <>
struct VectorOf<float> {
  using Type = float __attribute__((vector_size(kVectorBytes)));
};
template <>
struct VectorOf<double> {
  using Type = double __attribute__((vector_size(kVectorBytes)));
};

template <class Number>
struct Lanes {
  using Vector = typename VectorOf<Number>::Type;
  static constexpr int64_t kCount = kVectorBytes / static_cast<int64_t>(sizeof(Number));

  static Vector load(const Number* x) {
    Vector lanes;
    __builtin_memcpy(&lanes, x, sizeof lanes);
    return lanes;
  }
  static void store(Number* target, Vector x) { __builtin_memcpy(target, &x, sizeof x); }
};

/// kRows rows from `row` on, kVectors vectors of columns from `column` on.
template <class Number, unsigned kRows, unsigned kVectors>
inline void multiply_tile(const MatrixCall<Number>& call, int64_t row, int64_t column) {
  using L = Lanes<Number>;
  const Number* a = call.a + row * call.a_stride;
  const Number* b = call.b + column;
  Number* out = call.out + row * call.stride + column;
  typename L::Vector sums[kRows][kVectors] = {};
  for (unsigned i = 0; i < kRows && call.adds; ++i) {
    for (unsigned v = 0; v < kVectors; ++v) {
      sums[i][v] = L::load(out + i * call.stride + v * L::kCount);
    }
  }
  for (int64_t k = 0; k < call.count; ++k, a += call.a_step, b += call.stride) {
    for (unsigned v = 0; v < kVectors; ++v) {
      const typename L::Vector numbers = L::load(b + v * L::kCount);
      for (unsigned i = 0; i < kRows; ++i) sums[i][v] += a[i * call.a_stride] * numbers;
    }
  }
  for (unsigned i = 0; i < kRows; ++i, out += call.stride) {
    for (unsigned v = 0; v < kVectors; ++v) L::store(out + v * L::kCount, sums[i][v]);
  }
}

/// All columns. A row's bytes are a whole number of pairs of AVX2's vectors.
template <class Number, unsigned kRows>
inline void multiply_rows(const MatrixCall<Number>& call, int64_t row) {
  constexpr int64_t kLanes = Lanes<Number>::kCount;
  int64_t column = 0;
  for (; column + 2 * kLanes <= call.stride; column += 2 * kLanes) {
    multiply_tile<Number, kRows, 2>(call, row, column);
  }
  if (column < call.stride) multiply_tile<Number, kRows, 1>(call, row, column);
}

template <class Number>
void multiply(const MatrixCall<Number>& call) {
  int64_t row = 0;
  for (; row + 4 <= call.rows; row += 4) multiply_rows<Number, 4>(call, row);
  for (; row < call.rows; ++row) multiply_rows<Number, 1>(call, row);
}

/// Products of a tile of rows with one of rows; those beyond `count` are the last one again, and
/// written nowhere.
template <class Number, unsigned kTile>
inline void gram_tile(const GramCall<Number>& call, int64_t first_i, int64_t first_j) {
  using L = Lanes<Number>;
  constexpr unsigned kChains = static_cast<unsigned>(kMatrixRowBytes) / sizeof(Number);
  constexpr unsigned kVectors = kChains / L::kCount;
  const auto row = [&](int64_t i) {
    return call.rows + (i < call.count ? i : call.count - 1) * call.stride;
  };
  const Number* a[kTile];
  const Number* b[kTile];
  for (unsigned t = 0; t < kTile; ++t) {
    a[t] = row(first_i + t);
    b[t] = row(first_j + t);
  }
  typename L::Vector sums[kTile][kTile][kVectors] = {};
  for (int64_t c = 0; c < call.stride; c += kChains) {
    for (unsigned v = 0; v < kVectors; ++v) {
      const int64_t at = c + v * L::kCount;
      typename L::Vector of_b[kTile];
      for (unsigned t = 0; t < kTile; ++t) of_b[t] = L::load(b[t] + at);
      for (unsigned s = 0; s < kTile; ++s) {
        const typename L::Vector of_a = L::load(a[s] + at);
        for (unsigned t = 0; t < kTile; ++t) sums[s][t][v] += of_a * of_b[t];
      }
    }
  }
  for (unsigned s = 0; s < kTile && first_i + s < call.count; ++s) {
    for (unsigned t = 0; t < kTile && first_j + t < call.count; ++t) {
      alignas(64) Number chains[kChains];
      for (unsigned v = 0; v < kVectors; ++v) L::store(chains + v * L::kCount, sums[s][t][v]);
      for (unsigned left = kChains / 2; left > 0; left /= 2) {
        for (unsigned chain = 0; chain < left; ++chain) chains[chain] += chains[chain + left];
      }
      call.out[(first_i + s) * call.out_stride + first_j + t] = chains[0];
      call.out[(first_j + t) * call.out_stride + first_i + s] = chains[0];
    }
  }
}

template <class Number>
void gram(const GramCall<Number>& call) {
  constexpr unsigned kTile = kVectorBytes == 64 ? 4 : 2;  // of sums that stay in registers
  for (int64_t i = 0; i < call.count; i += kTile) {
    for (int64_t j = 0; j <= i; j += kTile) gram_tile<Number, kTile>(call, i, j);
  }
}

/// Vectors of columns go on their own, so that the row that is passed on stays in registers.
template <unsigned kVectors>
inline void rotate_columns(const RotationsCall& call, int64_t column) {
  using L = Lanes<double>;
  double* row = call.rows + call.count * call.stride + column;
  L::Vector high[kVectors];
  for (unsigned v = 0; v < kVectors; ++v) high[v] = L::load(row + v * L::kCount);
  for (int64_t i = call.count - 1; i >= 0; --i) {
    const double c = call.cos[i];
    const double s = call.sin[i];
    double* next = row - call.stride;
    for (unsigned v = 0; v < kVectors; ++v) {
      const L::Vector low = L::load(next + v * L::kCount);
      L::store(row + v * L::kCount, s * low + c * high[v]);
      high[v] = c * low - s * high[v];
    }
    row = next;
  }
  for (unsigned v = 0; v < kVectors; ++v) L::store(row + v * L::kCount, high[v]);
}

void rotate(const RotationsCall& call) {
  constexpr int64_t kLanes = Lanes<double>::kCount;
  int64_t column = 0;
  for (; column + 4 * kLanes <= call.stride; column += 4 * kLanes) rotate_columns<4>(call, column);
  for (; column + 2 * kLanes <= call.stride; column += 2 * kLanes) rotate_columns<2>(call, column);
  for (; column < call.stride; column += kLanes) rotate_columns<1>(call, column);
}
