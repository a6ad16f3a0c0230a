// A block of low rank: the truncated SVD of the middle's keys (after RoPE) and that of its values.
// What the last plan left is a product already, so the SVD is taken of that product and the new
// rows without multiplying it out. With L = [rows of the block, 0; 0, identity] and R = [its basis;
// new rows] the matrix is L R, and its singular vectors are those of a small symmetric matrix. The
// oldest tokens are dropped where a block would exceed its budget.

#include <algorithm>
#include <utility>

#include <Eigen/Dense>

#include "policy/adms/compressor.h"

namespace dms::policy {
namespace {

using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using RowMap = Eigen::Map<const Rows>;
using Matrix = Eigen::MatrixXd;
using Solver = Eigen::SelfAdjointEigenSolver<Matrix>;

/// Tokens that stay, by rising position, and where each comes from.
struct Sources {
  std::vector<int32_t> positions;
  std::vector<Eigen::Index> old_rows;  // of the block, in order
  std::vector<Eigen::Index> new_rows;  // of what leaves, in order
  std::vector<bool> is_new;            // [positions]
  int64_t dropped = 0;
};

Sources sources_of(const cache::LowRankBlock& block,
                   std::span<const int32_t> leaving,
                   int64_t most_tokens) {
  std::vector<std::pair<int32_t, bool>> all;
  for (const int32_t position : block.positions) all.emplace_back(position, false);
  for (const int32_t position : leaving) all.emplace_back(position, true);
  std::ranges::sort(all);
  Sources sources;
  sources.dropped = std::max<int64_t>(std::ssize(all) - std::max<int64_t>(most_tokens, 0), 0);
  Eigen::Index old_row = 0;
  Eigen::Index new_row = 0;
  for (int64_t i = 0; i < std::ssize(all); ++i) {
    const auto [position, is_new] = all[static_cast<size_t>(i)];
    const Eigen::Index row = is_new ? new_row++ : old_row++;
    if (i < sources.dropped) continue;
    (is_new ? sources.new_rows : sources.old_rows).push_back(row);
    sources.positions.push_back(position);
    sources.is_new.push_back(is_new);
  }
  return sources;
}

/// Of n x d: rows [n, rank] times the transposed basis [d, rank].
struct Product {
  Rows rows;
  Rows basis;
};

/// F with F^T F = square, which is symmetric and without negative eigenvalues but by rounding.
Matrix factor_of(const Matrix& square) {
  if (square.size() == 0) return square;
  const Eigen::LDLT<Matrix> ldlt(square);
  const Matrix lower = ldlt.transpositionsP().transpose() * Matrix(ldlt.matrixL());
  return ldlt.vectorD().cwiseMax(0.0).cwiseSqrt().asDiagonal() * lower.transpose();
}

/// The first `rank` right singular vectors of L R, [d, rank]; zeros for those that do not exist.
Matrix right_vectors(const Matrix& old_gram, const Matrix& right, Eigen::Index rank) {
  const Eigen::Index old_rank = old_gram.rows();
  const Eigen::Index d = right.cols();
  if (right.rows() >= d) {
    const auto top = right.topRows(old_rank);
    const auto bottom = right.bottomRows(right.rows() - old_rank);
    const Solver solver(top.transpose() * old_gram * top + bottom.transpose() * bottom);
    return solver.eigenvectors().rightCols(rank).rowwise().reverse();
  }
  // With F^T F the Gram matrix of L, F R has the singular values and right vectors of L R.
  Matrix weighted = right;
  weighted.topRows(old_rank) = factor_of(old_gram) * right.topRows(old_rank);
  const Solver solver(weighted * weighted.transpose());
  Matrix vectors = Matrix::Zero(d, rank);
  const Eigen::Index found = std::min(rank, right.rows());
  const double largest = solver.eigenvalues().tail(1)(0);
  for (Eigen::Index i = 0; i < found; ++i) {
    const Eigen::Index at = right.rows() - 1 - i;
    const double square = solver.eigenvalues()(at);
    constexpr double kNothing = 1e-12;  // of the largest: rounding
    if (square <= kNothing * largest) continue;
    vectors.col(i) = weighted.transpose() * solver.eigenvectors().col(at) / std::sqrt(square);
  }
  return vectors;
}

Product truncate(const Product& old, RowMap added, const Sources& sources, Eigen::Index rank) {
  const Rows old_rows = old.rows(sources.old_rows, Eigen::all);
  const Eigen::Index old_rank = old_rows.cols();
  const auto new_count = static_cast<Eigen::Index>(sources.new_rows.size());
  Matrix right(old_rank + new_count, added.cols());
  right.topRows(old_rank) = old.basis.transpose().cast<double>();
  right.bottomRows(new_count) = added(sources.new_rows, Eigen::all).cast<double>();
  const Matrix old_gram = (old_rows.transpose() * old_rows).cast<double>();
  const Matrix vectors = right_vectors(old_gram, right, rank);
  const Rows projected = (right * vectors).cast<float>();
  const Rows from_old = old_rows * projected.topRows(old_rank);
  const auto from_new = projected.bottomRows(new_count);
  Product product{.rows = Rows(std::ssize(sources.positions), rank),
                  .basis = vectors.cast<float>()};
  Eigen::Index old_row = 0;
  Eigen::Index new_row = 0;
  for (Eigen::Index i = 0; i < product.rows.rows(); ++i) {
    if (sources.is_new[static_cast<size_t>(i)]) {
      product.rows.row(i) = from_new.row(new_row++);
    } else {
      product.rows.row(i) = from_old.row(old_row++);
    }
  }
  return product;
}

template <class Derived>
std::vector<float> values_of(const Eigen::MatrixBase<Derived>& matrix) {
  const Rows rows = matrix;
  return {rows.data(), rows.data() + rows.size()};
}

class LowRank final : public Compressor {
 public:
  LowRank(int64_t rank, int64_t most_tokens) : rank_(rank), most_tokens_(most_tokens) {}

  cache::Digest compress(CompressRequest request) const override {
    const cache::HeadContents& leaving = request.leaving;
    const cache::LowRankBlock& before = request.before.block;
    const int64_t d = leaving.head_dim;
    // A block pays for its basis first: a budget of few entries has tokens at a lower rank only.
    const int64_t rank = std::min({rank_, d, std::max<int64_t>(request.budget / 2, 1)});
    const int64_t most = std::min(most_tokens_, request.budget * d / rank - d);
    const Sources sources = sources_of(before, leaving.positions, most);
    cache::Digest digest;
    digest.dropped = request.before.dropped + sources.dropped;
    if (sources.positions.empty()) return digest;
    const auto kept_rank =
        static_cast<Eigen::Index>(std::min<int64_t>(rank, std::ssize(sources.positions)));
    const auto n = static_cast<Eigen::Index>(before.tokens());
    const auto old_rank = static_cast<Eigen::Index>(before.rank);
    const auto added = static_cast<Eigen::Index>(leaving.positions.size());
    const Product keys = truncate({.rows = RowMap(before.key_rows.data(), old_rank, n).transpose(),
                                   .basis = RowMap(before.key_basis.data(), d, old_rank)},
                                  RowMap(leaving.keys.data(), added, d),
                                  sources,
                                  kept_rank);
    const Product values =
        truncate({.rows = RowMap(before.value_rows.data(), n, old_rank),
                  .basis = RowMap(before.value_basis.data(), old_rank, d).transpose()},
                 RowMap(leaving.values.data(), added, d),
                 sources,
                 kept_rank);
    digest.block = {.rank = kept_rank,
                    .positions = sources.positions,
                    .key_rows = values_of(keys.rows.transpose()),
                    .key_basis = values_of(keys.basis),
                    .value_rows = values_of(values.rows),
                    .value_basis = values_of(values.basis.transpose())};
    return digest;
  }

  int64_t most_merged(int64_t) const override { return 0; }

 private:
  int64_t rank_;
  int64_t most_tokens_;
};

}  // namespace

CompressorPtr low_rank_compressor(int64_t rank, int64_t most_tokens) {
  return std::make_unique<LowRank>(rank, most_tokens);
}

}  // namespace dms::policy
