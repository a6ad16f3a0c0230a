#include "kernels/low_rank.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

#include "base/check.h"
#include "kernels/factor_table.h"
#include "kernels/kernel_table.h"

namespace dms::kernels {
namespace {

void check_call(const LowRankArgs& args, int64_t stride, const AttentionPartial& partial) {
  const int64_t rows = args.positions * args.group;
  ensure(args.rank > 0 && args.tokens > 0 && args.head_dim > 0, "a block of nothing");
  ensure(std::ssize(args.q) >= (args.positions - 1) * stride + args.group * args.head_dim,
         "fewer queries than positions");
  ensure(args.key_rows.count() == args.rank * args.tokens &&
             args.value_rows.count() == args.rank * args.tokens &&
             args.key_basis.count() == args.rank * args.head_dim &&
             args.value_basis.count() == args.rank * args.head_dim,
         "a factor of another size");
  ensure(args.biases.empty() || std::ssize(args.biases) == args.group * args.tokens,
         "a bias for each token");
  ensure(args.first_seen.empty() || std::ssize(args.first_seen) == args.positions,
         "a first token for each query");
  ensure(std::min(std::ssize(partial.max), std::ssize(partial.sum)) >= rows, "no room for sums");
  ensure(std::ssize(partial.output) >= rows * args.head_dim, "no room for the output");
}

/// A vector for each of a few rows.
class RowVectors {
 public:
  void resize(int64_t rows, int64_t width) {
    width_ = static_cast<size_t>(width);
    values_.assign(static_cast<size_t>(rows) * width_, 0.0f);
  }
  std::span<float> operator[](int64_t row) {
    return std::span(values_).subspan(static_cast<size_t>(row) * width_, width_);
  }

 private:
  std::vector<float> values_;
  size_t width_ = 0;
};

/// What rows need on the way, kept by each thread.
struct Scratch {
  RowVectors projected;  // [rank]
  RowVectors scores;     // [tokens]
  RowVectors mixed;      // [rank]
};

/// Rows that go through the factors together.
class RowBlock {
 public:
  RowBlock(const LowRankArgs& args,
           int64_t stride,
           const AttentionPartial& partial,
           Scratch& scratch)
      : args_(args),
        stride_(stride),
        partial_(partial),
        projected_(scratch.projected),
        scores_(scratch.scores),
        mixed_(scratch.mixed) {}

  void run(int64_t first_row) {
    first_row_ = first_row;
    rows_ = std::min(kFactorRows, args_.positions * args_.group - first_row);
    score();
    soften();
    mix();
  }

 private:
  int64_t position(int64_t row) const { return (first_row_ + row) / args_.group; }
  int64_t member(int64_t row) const { return (first_row_ + row) % args_.group; }
  int64_t first_seen(int64_t row) const {
    return args_.first_seen.empty() ? 0 : args_.first_seen[static_cast<size_t>(position(row))];
  }

  /// `x` and `out` of a row: where they begin.
  template <class X, class Out>
  void multiply(const Factor& factor, int64_t count, int64_t columns, X x, Out out) const {
    FactorCall call{
        .x = {}, .out = {}, .rows = rows_, .count = count, .factor = nullptr, .columns = columns};
    for (int64_t row = 0; row < rows_; ++row) {
      call.x[row] = x(row);
      call.out[row] = out(row);
    }
    const FactorTable& table = factor_table();
    if (factor.floats.empty()) {
      call.factor = factor.bits.data();
      table.multiply_bf16(call);
    } else {
      call.factor = factor.floats.data();
      table.multiply_f32(call);
    }
  }

  void score() {
    projected_.resize(rows_, args_.rank);
    scores_.resize(rows_, args_.tokens);
    multiply(
        args_.key_basis,
        args_.head_dim,
        args_.rank,
        [&](int64_t row) {
          return args_.q.data() + position(row) * stride_ + member(row) * args_.head_dim;
        },
        [&](int64_t row) { return projected_[row].data(); });
    for (int64_t row = 0; row < rows_ && !args_.biases.empty(); ++row) {
      std::copy_n(
          args_.biases.begin() + member(row) * args_.tokens, args_.tokens, scores_[row].begin());
    }
    multiply(
        args_.key_rows,
        args_.rank,
        args_.tokens,
        [&](int64_t row) { return projected_[row].data(); },
        [&](int64_t row) { return scores_[row].data(); });
  }

  /// Scores become weights; those of tokens that a row does not see, 0.
  void soften() {
    const RowTable& table = row_table();
    for (int64_t row = 0; row < rows_; ++row) {
      const auto at = static_cast<size_t>(first_row_ + row);
      const auto hidden = static_cast<size_t>(std::min(first_seen(row), args_.tokens));
      std::ranges::fill(scores_[row].first(hidden), 0.0f);
      const std::span<float> scores = scores_[row].subspan(hidden);
      partial_.max[at] = -std::numeric_limits<float>::infinity();
      partial_.sum[at] = 0.0f;
      if (scores.empty()) continue;
      float scale = args_.scale;
      if (args_.soft_cap > 0.0f) {
        for (float& score : scores) score *= scale;
        table.soft_cap(args_.soft_cap, scores.data(), std::ssize(scores));
        scale = 1.0f;
      }
      partial_.max[at] = table.soften(scale, scores.data(), std::ssize(scores), &partial_.sum[at]);
    }
  }

  void mix() {
    mixed_.resize(rows_, args_.rank);
    multiply(
        args_.value_rows,
        args_.tokens,
        args_.rank,
        [&](int64_t row) { return scores_[row].data(); },
        [&](int64_t row) { return mixed_[row].data(); });
    const auto output = [&](int64_t row) {
      return partial_.output.data() + (first_row_ + row) * args_.head_dim;
    };
    for (int64_t row = 0; row < rows_; ++row) std::fill_n(output(row), args_.head_dim, 0.0f);
    multiply(
        args_.value_basis,
        args_.rank,
        args_.head_dim,
        [&](int64_t row) { return mixed_[row].data(); },
        output);
  }

  const LowRankArgs& args_;
  int64_t stride_;
  AttentionPartial partial_;
  int64_t first_row_ = 0;
  int64_t rows_ = 0;
  RowVectors& projected_;
  RowVectors& scores_;
  RowVectors& mixed_;
};

/// What is read soon is on its way while other numbers are multiplied.
void fetch_ahead(const Factor& factor) {
  constexpr int64_t kLineBytes = 64;
  const std::span<const std::byte> bytes =
      factor.floats.empty() ? std::as_bytes(factor.bits) : std::as_bytes(factor.floats);
  for (int64_t at = 0; at < std::ssize(bytes); at += kLineBytes) {
    __builtin_prefetch(bytes.data() + at);
  }
}

}  // namespace

void attend_low_rank(const LowRankArgs& args, AttentionPartial partial) {
  const int64_t stride =
      args.q_position_stride == 0 ? args.group * args.head_dim : args.q_position_stride;
  check_call(args, stride, partial);
  thread_local Scratch scratch;
  for (const Factor* factor :
       {&args.key_basis, &args.key_rows, &args.value_rows, &args.value_basis}) {
    fetch_ahead(*factor);
  }
  RowBlock block(args, stride, partial, scratch);
  for (int64_t row = 0; row < args.positions * args.group; row += kFactorRows) block.run(row);
}

void narrow_factor(std::span<const float> numbers, std::span<uint16_t> bits) {
  ensure(numbers.size() == bits.size(), "as many bits as numbers");
  factor_table().narrow(numbers.data(), std::ssize(numbers), bits.data());
}

void widen_factor(std::span<const uint16_t> bits, std::span<float> numbers) {
  ensure(numbers.size() == bits.size(), "as many numbers as bits");
  factor_table().widen(bits.data(), std::ssize(bits), numbers.data());
}

}  // namespace dms::kernels
