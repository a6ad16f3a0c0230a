// A block of low rank: the truncated SVD of the middle's keys (after RoPE) and that of its values.
// What the last plan left is a product already, so the SVD is taken of that product and the new
// rows without multiplying it out. With L = [rows of the block, 0; 0, identity] and R = [its basis;
// new rows] the matrix is L R. Its rows lie in the space of R's, and in an orthonormal basis of
// that the right singular vectors are those of a small symmetric matrix. The oldest tokens are
// dropped where a block would exceed its budget.

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "kernels/small_matrix.h"
#include "policy/adms/compressor.h"
#include "policy/adms/leading_space.h"

namespace dms::policy {
namespace {

using kernels::SmallMatrix;
using Floats = SmallMatrix<float>;
using Doubles = SmallMatrix<double>;

/// Tokens that stay, by rising position: of the block and of what leaves, the last ones each.
struct Sources {
  std::vector<int32_t> positions;
  std::vector<int64_t> rows;  // of each: of the block's those that stay, then of the new ones
  int64_t old_count = 0;
  int64_t new_count = 0;
  int64_t dropped = 0;

  int64_t count() const { return std::ssize(positions); }
};

Sources sources_of(const cache::LowRankBlock& block,
                   std::span<const int32_t> leaving,
                   int64_t most_tokens) {
  const auto all = std::ssize(block.positions) + std::ssize(leaving);
  Sources sources;
  sources.dropped = std::max<int64_t>(all - std::max<int64_t>(most_tokens, 0), 0);
  std::vector<bool> is_new;
  auto old = block.positions.begin();
  auto fresh = leaving.begin();
  for (int64_t i = 0; i < all; ++i) {
    const bool from_new = old == block.positions.end() || (fresh != leaving.end() && *fresh < *old);
    const int32_t position = from_new ? *fresh++ : *old++;
    if (i < sources.dropped) continue;
    ++(from_new ? sources.new_count : sources.old_count);
    sources.positions.push_back(position);
    is_new.push_back(from_new);
  }
  int64_t next_old = 0;
  int64_t next_new = sources.old_count;
  for (const bool from_new : is_new) sources.rows.push_back(from_new ? next_new++ : next_old++);
  return sources;
}

/// The first rows and columns, as other numbers.
template <class To, class From>
SmallMatrix<To> converted(const SmallMatrix<From>& matrix, int64_t rows, int64_t columns) {
  SmallMatrix<To> out(rows, columns);
  for (int64_t i = 0; i < rows; ++i) {
    std::transform(matrix.row(i), matrix.row(i) + columns, out.row(i), [](From number) {
      return static_cast<To>(number);
    });
  }
  return out;
}

/// U, upper, with U^T U = `square`, which holds the products of rows with each other. Its row is
/// zeros where a row is made of those before it.
Doubles upper_factor(Doubles square) {
  constexpr double kNothing = 1e-12;  // of a row's square: rounding
  const int64_t n = square.rows();
  Doubles upper(n, n);
  Doubles row(1, n);
  std::vector<double> squares;
  for (int64_t k = 0; k < n; ++k) squares.push_back(square.at(k, k));
  std::vector<double> factors;
  for (int64_t k = 0; k < n; ++k) {
    const double pivot = square.at(k, k);
    if (!(pivot > kNothing * squares[static_cast<size_t>(k)])) continue;
    const double inverse = 1.0 / std::sqrt(pivot);
    for (int64_t j = k; j < n; ++j) upper.at(k, j) = square.at(k, j) * inverse;
    std::copy_n(upper.row(k), n, row.row(0));
    factors.clear();
    for (int64_t j = k + 1; j < n; ++j) factors.push_back(-upper.at(k, j));
    kernels::add_to_rows(square, k + 1, factors, row);
  }
  return upper;
}

/// Y with U Y = X, zeros where U has none.
Doubles solved(const Doubles& upper, Doubles x) {
  const int64_t n = upper.rows();
  std::vector<double> sum(static_cast<size_t>(x.stride()));
  for (int64_t k = n - 1; k >= 0; --k) {
    const double pivot = upper.at(k, k);
    const double inverse = pivot > 0.0 ? 1.0 / pivot : 0.0;
    kernels::sum_rows(x, k + 1, {upper.row(k) + k + 1, static_cast<size_t>(n - k - 1)}, sum);
    for (int64_t c = 0; c < x.columns(); ++c) {
      x.at(k, c) = (x.at(k, c) - sum[static_cast<size_t>(c)]) * inverse;
    }
  }
  return x;
}

/// The first `rank` right singular vectors of L R, or others of their space, and R by them.
struct Directions {
  Doubles vectors;  // [rank, d]
  Doubles shares;   // [rank, rows of R]: of each row how much of each vector
};

/// The Gram matrix of L, which is that of the block's rows and ones for the new ones, by `matrix`.
Doubles weighted(const Doubles& old_gram, const Doubles& matrix) {
  Doubles first = converted<double>(matrix, old_gram.rows(), matrix.columns());
  first = product(old_gram, first);
  Doubles out = matrix;
  std::copy_n(first.data(), first.rows() * first.stride(), out.data());
  return out;
}

/// Of an R that has no fewer rows than columns.
Directions directions_by_columns(const Doubles& old_gram, const Doubles& right, int64_t rank) {
  Directions out{
      .vectors = leading_space(transposed_product(right, weighted(old_gram, right)), rank),
      .shares = {}};
  out.shares = product(out.vectors, right.transposed());
  return out;
}

/// With U^T U = R R^T the rows of U^-T R are orthonormal; R is U^T times them.
Directions directions_by_rows(const Doubles& old_gram, const Doubles& right, int64_t rank) {
  const Doubles upper = upper_factor(product(right, right.transposed()));
  const Doubles square = product(upper, weighted(old_gram, upper.transposed()));
  Doubles space(rank, right.rows());  // zeros for vectors that do not exist
  const Doubles found = leading_space(square, std::min(rank, right.rows()));
  std::copy_n(found.data(), found.rows() * found.stride(), space.data());
  return {.vectors = transposed_product(solved(upper, space.transposed()), right),
          .shares = product(space, upper)};
}

/// How the factors of a block lie: rows [tokens, rank] and basis [rank, d], or both the other way
/// round.
enum class Order { by_rows, by_columns };

/// A product as it lies in a block.
struct Factors {
  std::span<const float> rows;
  std::span<const float> basis;
  Order order = Order::by_rows;
  int64_t tokens = 0;
  int64_t rank = 0;
};

/// Kept by each thread: what is given back to the system costs more than the products.
struct Workspace {
  Floats rows;      // of a block, those that stay, [tokens, rank]
  Floats columns;   // the same, transposed, where the block has them so
  Floats from_old;  // what becomes of them, in the block's order
};

void read_rows(const Factors& old, int64_t count, Workspace& work) {
  const int64_t skipped = old.tokens - count;
  if (old.order == Order::by_columns) {
    work.columns.reset(old.rank, count);
    for (int64_t c = 0; c < old.rank; ++c) {
      std::copy_n(old.rows.data() + c * old.tokens + skipped, count, work.columns.row(c));
    }
    work.columns.transpose_into(work.rows);
  } else {
    work.rows.reset(count, old.rank);
    for (int64_t i = 0; i < count; ++i) {
      std::copy_n(old.rows.data() + (skipped + i) * old.rank, old.rank, work.rows.row(i));
    }
  }
}

/// [old basis; the last `count` of the `added` rows]
Doubles read_right(const Factors& old, std::span<const float> added, int64_t count, int64_t d) {
  Doubles right(old.rank + count, d);
  for (int64_t i = 0; i < old.rank; ++i) {
    for (int64_t c = 0; c < d; ++c) {
      const int64_t at = old.order == Order::by_columns ? c * old.rank + i : i * d + c;
      right.at(i, c) = old.basis[static_cast<size_t>(at)];
    }
  }
  const auto first = std::ssize(added) - count * d;
  for (int64_t i = 0; i < count; ++i) {
    std::copy_n(added.data() + first + i * d, d, right.row(old.rank + i));
  }
  return right;
}

void write_basis(const Doubles& vectors, Order order, std::vector<float>& out) {
  const int64_t rank = vectors.rows();
  const int64_t d = vectors.columns();
  out.resize(static_cast<size_t>(rank * d));
  for (int64_t i = 0; i < rank; ++i) {
    for (int64_t c = 0; c < d; ++c) {
      const int64_t at = order == Order::by_columns ? c * rank + i : i * d + c;
      out[static_cast<size_t>(at)] = static_cast<float>(vectors.at(i, c));
    }
  }
}

/// `shares` [rank, old rank + new tokens]; of old tokens `from_old`, of new ones the shares.
void write_rows(const Floats& shares,
                const Floats& from_old,
                int64_t old_rank,
                const Sources& sources,
                Order order,
                std::vector<float>& out) {
  const int64_t rank = shares.rows();
  out.resize(static_cast<size_t>(sources.count() * rank));
  float* next = out.data();
  if (order == Order::by_columns) {
    for (int64_t c = 0; c < rank; ++c) {
      const float* of_old = from_old.row(c);
      const float* of_new = shares.row(c) + old_rank;
      for (const int64_t row : sources.rows) {
        *next++ = row < sources.old_count ? of_old[row] : of_new[row - sources.old_count];
      }
    }
    return;
  }
  for (const int64_t row : sources.rows) {
    if (row < sources.old_count) {
      next = std::copy_n(from_old.row(row), rank, next);
      continue;
    }
    const int64_t share = old_rank + row - sources.old_count;
    for (int64_t c = 0; c < rank; ++c) *next++ = shares.at(c, share);
  }
}

/// The first `rank` of what `old` and the `added` [added, d] are together, laid out as `old` is,
/// which may lie in `rows` and `basis`.
void truncate(const Factors& old,
              std::span<const float> added,
              int64_t d,
              const Sources& sources,
              int64_t rank,
              std::vector<float>& rows,
              std::vector<float>& basis) {
  thread_local Workspace work;
  read_rows(old, sources.old_count, work);
  const Doubles old_gram =
      converted<double>(transposed_product(work.rows, work.rows), old.rank, old.rank);
  const Doubles right = read_right(old, added, sources.new_count, d);
  const Directions directions = right.rows() >= d ? directions_by_columns(old_gram, right, rank)
                                                  : directions_by_rows(old_gram, right, rank);
  write_basis(directions.vectors, old.order, basis);
  const Floats shares = converted<float>(directions.shares, rank, right.rows());
  const Floats of_old = converted<float>(directions.shares, rank, old.rank);
  if (old.order == Order::by_columns) {
    multiply_into(of_old, work.columns, work.from_old);
  } else {
    multiply_into(work.rows, of_old.transposed(), work.from_old);
  }
  write_rows(shares, work.from_old, old.rank, sources, old.order, rows);
}

class LowRank final : public Compressor {
 public:
  LowRank(int64_t rank, int64_t most_tokens) : rank_(rank), most_tokens_(most_tokens) {}

  cache::Digest compress(CompressRequest request) const override {
    const cache::HeadContents& leaving = request.leaving;
    cache::LowRankBlock before = std::move(request.before.block);
    const int64_t d = leaving.head_dim;
    const int64_t rank = rank_of(request.budget, d);
    const int64_t most = most_tokens(request.budget, d);
    const Sources sources = sources_of(before, leaving.positions, most);
    cache::Digest digest;
    digest.dropped = request.before.dropped + sources.dropped;
    if (sources.positions.empty()) return digest;
    cache::LowRankBlock& block = digest.block;
    block.rank = std::min<int64_t>(rank, std::ssize(sources.positions));
    block.positions = sources.positions;
    const Factors keys{.rows = before.key_rows,
                       .basis = before.key_basis,
                       .order = Order::by_columns,
                       .tokens = before.tokens(),
                       .rank = before.rank};
    const Factors values{.rows = before.value_rows,
                         .basis = before.value_basis,
                         .order = Order::by_rows,
                         .tokens = before.tokens(),
                         .rank = before.rank};
    // What they are read from is written over.
    block.key_rows = std::move(before.key_rows);
    block.key_basis = std::move(before.key_basis);
    block.value_rows = std::move(before.value_rows);
    block.value_basis = std::move(before.value_basis);
    truncate(keys, leaving.keys, d, sources, block.rank, block.key_rows, block.key_basis);
    truncate(values, leaving.values, d, sources, block.rank, block.value_rows, block.value_basis);
    return digest;
  }

  int64_t most_merged(int64_t) const override { return 0; }

  cache::BlockRoom most_block(int64_t budget, int64_t head_dim) const override {
    const int64_t tokens = most_tokens(budget, head_dim);
    if (tokens <= 0) return {};
    return {.numbers = 2 * rank_of(budget, head_dim) * (tokens + head_dim), .tokens = tokens};
  }

 private:
  /// A block pays for its basis first: a budget of few entries has tokens at a lower rank only.
  int64_t rank_of(int64_t budget, int64_t head_dim) const {
    return std::min({rank_, head_dim, std::max<int64_t>(budget / 2, 1)});
  }
  int64_t most_tokens(int64_t budget, int64_t head_dim) const {
    return std::min(most_tokens_, budget * head_dim / rank_of(budget, head_dim) - head_dim);
  }

  int64_t rank_;
  int64_t most_tokens_;
};

}  // namespace

CompressorPtr low_rank_compressor(int64_t rank, int64_t most_tokens) {
  return std::make_unique<LowRank>(rank, most_tokens);
}

}  // namespace dms::policy
