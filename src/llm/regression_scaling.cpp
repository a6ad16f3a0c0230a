#include "llm/regression_scaling.h"

#include <algorithm>
#include <cmath>

#include "base/parallel.h"

namespace dms::llm {
namespace {

/// A bfloat16 that differs in one of millions of rows deviates more.
constexpr double kRounding = 1e-7;

}  // namespace

/// `read`: given a row and room for its `columns` values.
template <class Read>
RegressionScaling::Columns RegressionScaling::columns_of(int64_t rows, int64_t columns, Read read) {
  const auto width = static_cast<size_t>(columns);
  Columns scale{std::vector<double>(width), std::vector<double>(width)};
  std::vector<float> row(width);
  const auto count = static_cast<double>(rows);
  for (int64_t i = 0; i < rows; ++i) {
    read(i, row);
    for (size_t c = 0; c < width; ++c) scale.means[c] += row[c] / count;
  }
  for (int64_t i = 0; i < rows; ++i) {
    read(i, row);
    for (size_t c = 0; c < width; ++c) {
      const double off = row[c] - scale.means[c];
      scale.deviations[c] += off * off / count;
    }
  }
  for (size_t c = 0; c < width; ++c) {
    const double deviation = std::sqrt(scale.deviations[c]);
    // What always has one value says nothing; of such a column rounding alone leaves a deviation.
    const bool is_constant = deviation <= kRounding * std::abs(scale.means[c]);
    scale.deviations[c] = is_constant ? 1.0 : deviation;
  }
  return scale;
}

RegressionScaling::RegressionScaling(const RegressionRows& rows)
    : x_(columns_of(rows.count(),
                    rows.columns(),
                    [&](int64_t i, std::span<float> row) { rows.read(i, row); })),
      y_(columns_of(rows.count(), rows.targets(), [&](int64_t i, std::span<float> row) {
        std::ranges::copy(rows.target(i), row.begin());
      })) {}

MlpBatch RegressionScaling::batch(const RegressionRows& rows,
                                  std::span<const int64_t> chosen) const {
  const size_t columns = x_.means.size();
  const size_t targets = y_.means.size();
  std::vector<float> x(chosen.size() * columns);
  std::vector<float> y(chosen.size() * targets);
  parallel_for(std::ssize(chosen), 16, [&](int64_t i) {
    const auto at = static_cast<size_t>(i);
    const std::span<float> inputs = std::span(x).subspan(at * columns, columns);
    rows.read(chosen[at], inputs);
    for (size_t c = 0; c < columns; ++c) {
      inputs[c] = static_cast<float>((inputs[c] - x_.means[c]) / x_.deviations[c]);
    }
    const std::span<const float> wanted = rows.target(chosen[at]);
    for (size_t t = 0; t < targets; ++t) {
      y[at * targets + t] = static_cast<float>((wanted[t] - y_.means[t]) / y_.deviations[t]);
    }
  });
  return MlpBatch(x, y, rows.columns());
}

Mlp RegressionScaling::start(const LinearFit& linear, int64_t width, Random& random) const {
  const size_t columns = x_.means.size();
  const size_t targets = y_.means.size();
  const auto units = static_cast<size_t>(width);
  Mlp mlp{.hidden = {std::vector<float>(units * columns), std::vector<float>(units)},
          .output = {std::vector<float>(targets * units), std::vector<float>(targets)}};
  for (size_t unit = 0; unit < 2 * targets; ++unit) {
    const size_t target = unit / 2;
    const double sign = unit % 2 == 0 ? 1.0 : -1.0;
    double bias = linear.intercepts[target] - y_.means[target];
    for (size_t c = 0; c < columns; ++c) {
      const double weight = linear.weights[target * columns + c];
      bias += weight * x_.means[c];
      mlp.hidden.weights[unit * columns + c] =
          static_cast<float>(sign * weight * x_.deviations[c] / y_.deviations[target]);
    }
    mlp.hidden.intercepts[unit] = static_cast<float>(sign * bias / y_.deviations[target]);
    mlp.output.weights[target * units + unit] = static_cast<float>(sign);
  }
  // torch's beginning of a linear layer; what these units say counts for nothing yet.
  const double reach = 1 / std::sqrt(static_cast<double>(columns));
  const auto draw = [&] {
    const auto drawn = static_cast<double>(random.next() >> 11) * 0x1p-53;
    return static_cast<float>(reach * (2 * drawn - 1));
  };
  for (size_t unit = 2 * targets; unit < units; ++unit) {
    for (size_t c = 0; c < columns; ++c) mlp.hidden.weights[unit * columns + c] = draw();
    mlp.hidden.intercepts[unit] = draw();
  }
  return mlp;
}

Mlp RegressionScaling::restored(const Mlp& mlp) const {
  Mlp plain = mlp;
  const size_t columns = x_.means.size();
  const size_t width = mlp.hidden.intercepts.size();
  for (size_t unit = 0; unit < width; ++unit) {
    double bias = mlp.hidden.intercepts[unit];
    for (size_t c = 0; c < columns; ++c) {
      const double weight = mlp.hidden.weights[unit * columns + c] / x_.deviations[c];
      plain.hidden.weights[unit * columns + c] = static_cast<float>(weight);
      bias -= weight * x_.means[c];
    }
    plain.hidden.intercepts[unit] = static_cast<float>(bias);
  }
  for (size_t target = 0; target < y_.means.size(); ++target) {
    const double deviation = y_.deviations[target];
    for (size_t unit = 0; unit < width; ++unit) {
      float& weight = plain.output.weights[target * width + unit];
      weight = static_cast<float>(deviation * weight);
    }
    plain.output.intercepts[target] =
        static_cast<float>(deviation * mlp.output.intercepts[target] + y_.means[target]);
  }
  return plain;
}

}  // namespace dms::llm
