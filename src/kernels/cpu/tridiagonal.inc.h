// Householder's tridiagonal form, included by the AVX2 and AVX-512 files into their anonymous
// namespaces after small_matrices.inc.h.

/// In kDotChains chains by column, joined in pairs.
inline double dot(const double* a, const double* b, int64_t begin, int64_t end) {
  using L = Lanes<double>;
  constexpr int64_t kVectors = kDotChains / L::kCount;
  L::Vector sums[kVectors] = {};
  for (int64_t column = begin; column < end; column += kDotChains) {
    for (int64_t v = 0; v < kVectors; ++v) {
      const int64_t at = column + v * L::kCount;
      sums[v] += L::load(a + at) * L::load(b + at);
    }
  }
  alignas(64) double chains[kDotChains];
  for (int64_t v = 0; v < kVectors; ++v) L::store(chains + v * L::kCount, sums[v]);
  return ((chains[0] + chains[1]) + (chains[2] + chains[3])) +
         ((chains[4] + chains[5]) + (chains[6] + chains[7]));
}

template <unsigned kVectors>
struct Width {};

/// body(Width, column) for all columns, as many vectors at once as stay in registers.
template <class Body>
inline void over_columns(int64_t begin, int64_t end, const Body& body) {
  constexpr int64_t kLanes = Lanes<double>::kCount;
  int64_t column = begin;
  for (; column + 4 * kLanes <= end; column += 4 * kLanes) body(Width<4>(), column);
  switch ((end - column) / kLanes) {
    case 3:
      return body(Width<3>(), column);
    case 2:
      return body(Width<2>(), column);
    case 1:
      return body(Width<1>(), column);
    default:
      return;
  }
}

/// sums = the sum of rows, each times its factor.
template <unsigned kVectors>
inline void sum_tile(const double* rows,
                     int64_t stride,
                     const double* factors,
                     int64_t count,
                     Lanes<double>::Vector (&sums)[kVectors]) {
  using L = Lanes<double>;
  for (unsigned v = 0; v < kVectors; ++v) sums[v] = L::Vector{};
  for (int64_t i = 0; i < count; ++i, rows += stride) {
    for (unsigned v = 0; v < kVectors; ++v) {
      sums[v] += factors[i] * L::load(rows + v * L::kCount);
    }
  }
}

/// A becomes A - v w^T - w v^T with w = p - (scale / 2) (p . v) v and p = scale A v.
inline void reflect_matrix(const TridiagonalCall& call, int64_t first, double scale) {
  using L = Lanes<double>;
  const int64_t begin = first / kDotChains * kDotChains;
  const double* v = call.work;
  double* w = call.work + call.stride;
  double* rows = call.matrix + first * call.stride;
  const int64_t count = call.n - first;
  over_columns(begin, call.stride, [&]<unsigned kVectors>(Width<kVectors>, int64_t column) {
    L::Vector sums[kVectors];
    sum_tile(rows + column, call.stride, v + first, count, sums);
    for (unsigned i = 0; i < kVectors; ++i) L::store(w + column + i * L::kCount, scale * sums[i]);
  });
  for (int64_t column = begin; column < first; ++column) w[column] = 0.0;
  const double overlap = 0.5 * scale * dot(w, v, begin, call.stride);
  for (int64_t column = begin; column < call.stride; column += L::kCount) {
    L::store(w + column, L::load(w + column) - overlap * L::load(v + column));
  }
  over_columns(begin, call.stride, [&]<unsigned kVectors>(Width<kVectors>, int64_t column) {
    L::Vector of_v[kVectors];
    L::Vector of_w[kVectors];
    for (unsigned i = 0; i < kVectors; ++i) {
      of_v[i] = L::load(v + column + i * L::kCount);
      of_w[i] = L::load(w + column + i * L::kCount);
    }
    double* row = rows + column;
    for (int64_t j = first; j < call.n; ++j, row += call.stride) {
      for (unsigned i = 0; i < kVectors; ++i) {
        double* at = row + i * L::kCount;
        L::store(at, L::load(at) - v[j] * of_w[i] - w[j] * of_v[i]);
      }
    }
  });
}

/// Q's columns C become C - scale v (v^T C).
inline void reflect_columns(const TridiagonalCall& call, int64_t first, double scale) {
  using L = Lanes<double>;
  const double* v = call.work;
  double* rows = call.columns + first * call.stride;
  over_columns(0, call.stride, [&]<unsigned kVectors>(Width<kVectors>, int64_t column) {
    L::Vector sums[kVectors];
    sum_tile(rows + column, call.stride, v + first, call.n - first, sums);
    double* row = rows + column;
    for (int64_t j = first; j < call.n; ++j, row += call.stride) {
      for (unsigned i = 0; i < kVectors; ++i) {
        double* at = row + i * L::kCount;
        L::store(at, L::load(at) - (scale * v[j]) * sums[i]);
      }
    }
  });
}

/// Reflects what row `first - 1` holds right of the diagonal onto its first number, which is
/// returned.
inline double reflect(const TridiagonalCall& call, int64_t first) {
  const double* row = call.matrix + (first - 1) * call.stride;
  double* v = call.work;
  const int64_t begin = first / kDotChains * kDotChains;
  for (int64_t column = begin; column < call.stride; ++column) v[column] = row[column];
  for (int64_t column = begin; column <= first; ++column) v[column] = 0.0;
  const double squares = dot(v, v, begin, call.stride);
  const double head = row[first];
  if (squares < kNoSquare) return head;
  const double left = -__builtin_copysign(__builtin_sqrt(squares + head * head), head);
  v[first] = head - left;
  const double scale = 2.0 / (squares + v[first] * v[first]);
  reflect_matrix(call, first, scale);
  reflect_columns(call, first, scale);
  return left;
}

void tridiagonalise(const TridiagonalCall& call) {
  for (int64_t k = 0; k < call.n; ++k) {
    call.diagonal[k] = call.matrix[k * call.stride + k];
    call.subdiagonal[k] = k + 1 < call.n ? reflect(call, k + 1) : 0.0;
  }
}
