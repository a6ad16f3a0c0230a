#include "quantise/feedback_rounding.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/parallel.h"
#include "kernels/elementwise.h"

namespace dms::quantise {
namespace {

constexpr float kDamping = 0.01f;
/// Columns of the factor that are finished before the rows below go on in parallel.
constexpr int64_t kBlock = 64;
/// Rows of weights that share a reading of the factor.
constexpr int64_t kLanes = 16;

using Lanes = std::array<float, static_cast<size_t>(kLanes)>;

}  // namespace

FeedbackRounding::FeedbackRounding(const InputMoments& moments)
    : columns_(moments.columns()),
      importance_(static_cast<size_t>(columns_)),
      order_(static_cast<size_t>(columns_)) {
  const std::span<const float> sums = moments.sums();
  const auto at = [&](int64_t i, int64_t j) { return sums[static_cast<size_t>(i * columns_ + j)]; };
  for (int64_t c = 0; c < columns_; ++c) importance_[static_cast<size_t>(c)] = at(c, c);
  const float mean =
      std::reduce(importance_.begin(), importance_.end()) / static_cast<float>(columns_);
  const float damping = std::max(kDamping * mean, 1e-20f);

  std::iota(order_.begin(), order_.end(), 0);
  std::ranges::stable_sort(
      order_, {}, [&](int64_t c) { return importance_[static_cast<size_t>(c)]; });
  std::vector<float> ordered(sums.size());
  parallel_for(columns_, 16, [&](int64_t i) {
    for (int64_t j = 0; j < columns_; ++j) {
      ordered[static_cast<size_t>(i * columns_ + j)] =
          at(order_[static_cast<size_t>(i)], order_[static_cast<size_t>(j)]);
    }
    ordered[static_cast<size_t>(i * columns_ + i)] += damping;
  });
  factor(std::move(ordered));
}

/// Cholesky's L in the lower triangle, row by row from products of rows; then turned to U.
void FeedbackRounding::factor(std::vector<float> sums) {
  const auto row = [&](int64_t i, int64_t count) {
    return std::span<const float>(sums).subspan(static_cast<size_t>(i * columns_),
                                                static_cast<size_t>(count));
  };
  const auto at = [&](int64_t i, int64_t j) -> float& {
    return sums[static_cast<size_t>(i * columns_ + j)];
  };
  const auto finish = [&](int64_t i, int64_t j) {
    at(i, j) = (at(i, j) - kernels::dot_fixed_order(row(i, j), row(j, j))) / at(j, j);
  };
  for (int64_t first = 0; first < columns_; first += kBlock) {
    const int64_t end = std::min(first + kBlock, columns_);
    for (int64_t i = first; i < end; ++i) {
      for (int64_t j = first; j < i; ++j) finish(i, j);
      const float left = at(i, i) - kernels::dot_fixed_order(row(i, i), row(i, i));
      at(i, i) = std::sqrt(std::max(left, 1e-6f * at(i, i)));
    }
    parallel_for(columns_ - end, 8, [&](int64_t below) {
      for (int64_t j = first; j < end; ++j) finish(end + below, j);
    });
  }
  parallel_for(columns_, 16, [&](int64_t i) {
    for (int64_t j = i + 1; j < columns_; ++j) at(i, j) = at(j, i);
  });
  upper_ = std::move(sums);
}

void FeedbackRounding::round(std::span<const float> rows,
                             kernels::QuantisedRowsBuffer& quantised) const {
  const int64_t count = std::ssize(rows) / columns_;
  const int64_t groups = ceil_div(columns_, kernels::kQuantGroup);
  const auto top = static_cast<float>(kernels::largest_code(quantised.format));
  const auto zero = static_cast<float>(kernels::zero_code(quantised.format));
  parallel_for(ceil_div(count, kLanes), 1, [&](int64_t block) {
    const int64_t first = block * kLanes;
    const int64_t lanes = std::min(kLanes, count - first);
    std::vector<Lanes> errors(static_cast<size_t>(columns_), Lanes{});  // by place
    for (int64_t place = columns_ - 1; place >= 0; --place) {
      const float* factors = upper_.data() + place * columns_;
      Lanes pull{};
      for (int64_t i = place + 1; i < columns_; ++i) {
        const Lanes& error = errors[static_cast<size_t>(i)];
        for (size_t lane = 0; lane < pull.size(); ++lane) pull[lane] += factors[i] * error[lane];
      }
      const int64_t column = order_[static_cast<size_t>(place)];
      for (int64_t lane = 0; lane < lanes; ++lane) {
        const auto value = static_cast<size_t>((first + lane) * columns_ + column);
        const auto group =
            static_cast<size_t>((first + lane) * groups + column / kernels::kQuantGroup);
        const float scale = quantised.scales[group];
        const float minimum = quantised.minima.empty() ? -zero * scale : quantised.minima[group];
        const float target = rows[value] + pull[static_cast<size_t>(lane)] / factors[place];
        const float code = scale == 0.0f
                               ? zero
                               : std::clamp(std::nearbyint((target - minimum) / scale), 0.0f, top);
        quantised.codes[value] = static_cast<uint8_t>(code);
        errors[static_cast<size_t>(place)][static_cast<size_t>(lane)] =
            rows[value] - (scale * code + minimum);
      }
    }
  });
}

}  // namespace dms::quantise
