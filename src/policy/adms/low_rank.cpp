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

template <int Order>
using Floats = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Order>;
using RowMap = Eigen::Map<const Floats<Eigen::RowMajor>>;
using Matrix = Eigen::MatrixXd;
using Solver = Eigen::SelfAdjointEigenSolver<Matrix>;

/// Tokens that stay, by rising position: of the block and of what leaves, the last ones each.
struct Sources {
  std::vector<int32_t> positions;
  std::vector<bool> is_new;  // [positions]
  Eigen::Index old_count = 0;
  Eigen::Index new_count = 0;
  int64_t dropped = 0;

  Eigen::Index count() const { return std::ssize(positions); }
};

Sources sources_of(const cache::LowRankBlock& block,
                   std::span<const int32_t> leaving,
                   int64_t most_tokens) {
  Sources sources;
  const auto all = std::ssize(block.positions) + std::ssize(leaving);
  sources.dropped = std::max<int64_t>(all - std::max<int64_t>(most_tokens, 0), 0);
  auto old = block.positions.begin();
  auto fresh = leaving.begin();
  for (int64_t i = 0; i < all; ++i) {
    const bool is_new = old == block.positions.end() || (fresh != leaving.end() && *fresh < *old);
    const int32_t position = is_new ? *fresh++ : *old++;
    if (i < sources.dropped) continue;
    ++(is_new ? sources.new_count : sources.old_count);
    sources.positions.push_back(position);
    sources.is_new.push_back(is_new);
  }
  return sources;
}

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

/// Rows [n, rank] and basis [d, rank] of a product, each as it lies in a block.
template <int RowOrder, int BasisOrder>
struct Factors {
  Eigen::Map<const Floats<RowOrder>> rows;
  Eigen::Map<const Floats<BasisOrder>> basis;
};

template <int RowOrder, int BasisOrder>
void truncate(const Factors<RowOrder, BasisOrder>& old,
              RowMap added,
              const Sources& sources,
              Eigen::Index rank,
              std::vector<float>& rows,
              std::vector<float>& basis) {
  const auto old_rows = old.rows.bottomRows(sources.old_count);
  const Eigen::Index old_rank = old_rows.cols();
  const Eigen::Index d = added.cols();
  Matrix right(old_rank + sources.new_count, d);
  right.topRows(old_rank) = old.basis.transpose().template cast<double>();
  right.bottomRows(sources.new_count) = added.bottomRows(sources.new_count).cast<double>();
  const Matrix old_gram = (old_rows.transpose() * old_rows).template cast<double>();
  const Matrix vectors = right_vectors(old_gram, right, rank);
  const Floats<RowOrder> projected = (right * vectors).cast<float>();
  const Floats<RowOrder> from_old = old_rows * projected.topRows(old_rank);
  const auto from_new = projected.bottomRows(sources.new_count);
  rows.resize(static_cast<size_t>(sources.count() * rank));
  basis.resize(static_cast<size_t>(d * rank));
  Eigen::Map<Floats<BasisOrder>>(basis.data(), d, rank) = vectors.cast<float>();
  Eigen::Map<Floats<RowOrder>> out(rows.data(), sources.count(), rank);
  Eigen::Index old_row = 0;
  Eigen::Index new_row = 0;
  while (old_row + new_row < sources.count()) {
    const Eigen::Index first = old_row + new_row;
    const auto begin = sources.is_new.begin() + first;
    const Eigen::Index run = std::find(begin, sources.is_new.end(), !*begin) - begin;
    if (*begin) {
      out.middleRows(first, run) = from_new.middleRows(new_row, run);
      new_row += run;
    } else {
      out.middleRows(first, run) = from_old.middleRows(old_row, run);
      old_row += run;
    }
  }
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
    constexpr int kByRow = Eigen::RowMajor;
    constexpr int kByColumn = Eigen::ColMajor;
    cache::LowRankBlock& block = digest.block;
    block.rank = kept_rank;
    block.positions = sources.positions;
    truncate<kByColumn, kByRow>({.rows = {before.key_rows.data(), n, old_rank},
                                 .basis = {before.key_basis.data(), d, old_rank}},
                                RowMap(leaving.keys.data(), added, d),
                                sources,
                                kept_rank,
                                block.key_rows,
                                block.key_basis);
    truncate<kByRow, kByColumn>({.rows = {before.value_rows.data(), n, old_rank},
                                 .basis = {before.value_basis.data(), d, old_rank}},
                                RowMap(leaving.values.data(), added, d),
                                sources,
                                kept_rank,
                                block.value_rows,
                                block.value_basis);
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
