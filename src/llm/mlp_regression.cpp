#include "llm/mlp_regression.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/parallel.h"
#include "base/random.h"
#include "llm/regression_scaling.h"

namespace dms::llm {
namespace {

constexpr int64_t kBatch = 256;
constexpr double kRate = 3e-4;
constexpr double kWarmUp = 0.05;  // of all steps: moments of few gradients say little
constexpr double kDecay = 0.01;
constexpr double kFirstMoment = 0.9;
constexpr double kSecondMoment = 0.999;
constexpr double kEpsilon = 1e-8;
/// That are worth another thread's attention.
constexpr int64_t kNumbers = 1 << 14;
/// Passes that may follow the best one.
constexpr int64_t kPatience = 3;

std::array<std::vector<float>*, 4> numbers_of(Mlp& mlp) {
  return {&mlp.hidden.weights, &mlp.hidden.intercepts, &mlp.output.weights, &mlp.output.intercepts};
}

/// Loshchilov and Hutter, as torch.optim.AdamW has it.
class AdamW {
 public:
  explicit AdamW(const Mlp& mlp) : first_(mlp), second_(mlp) {
    for (std::vector<float>* part : numbers_of(first_)) std::ranges::fill(*part, 0.0f);
    for (std::vector<float>* part : numbers_of(second_)) std::ranges::fill(*part, 0.0f);
  }

  void step(Mlp& mlp, Mlp& gradient, double rate) {
    ++steps_;
    const auto kept = static_cast<float>(1 - rate * kDecay);
    const auto size = static_cast<float>(rate / (1 - std::pow(kFirstMoment, steps_)));
    const auto unbiased = static_cast<float>(1 / (1 - std::pow(kSecondMoment, steps_)));
    for (size_t part = 0; part < 4; ++part) {
      std::vector<float>& values = *numbers_of(mlp)[part];
      const std::vector<float>& slopes = *numbers_of(gradient)[part];
      std::vector<float>& first = *numbers_of(first_)[part];
      std::vector<float>& second = *numbers_of(second_)[part];
      const auto update = [&](size_t i) {
        constexpr auto kFirst = static_cast<float>(kFirstMoment);
        constexpr auto kSecond = static_cast<float>(kSecondMoment);
        first[i] = kFirst * first[i] + (1 - kFirst) * slopes[i];
        second[i] = kSecond * second[i] + (1 - kSecond) * slopes[i] * slopes[i];
        const float spread = std::sqrt(second[i] * unbiased) + static_cast<float>(kEpsilon);
        values[i] = kept * values[i] - size * first[i] / spread;
      };
      parallel_for(ceil_div(std::ssize(values), kNumbers), 1, [&](int64_t block) {
        const int64_t end = std::min((block + 1) * kNumbers, std::ssize(values));
        for (int64_t i = block * kNumbers; i < end; ++i) update(static_cast<size_t>(i));
      });
    }
  }

 private:
  Mlp first_;
  Mlp second_;
  double steps_ = 0;
};

/// Rises, then falls as half a cosine does, to nothing after the last step.
double rate_at(int64_t step, int64_t steps) {
  const double done = static_cast<double>(step + 1) / static_cast<double>(steps + 1);
  if (done < kWarmUp) return kRate * done / kWarmUp;
  return kRate * 0.5 * (1 + std::cos(std::numbers::pi * (done - kWarmUp) / (1 - kWarmUp)));
}

/// Mean squared error over all rows, a batch at a time.
double error_over(const Mlp& mlp, const RegressionRows& rows, const RegressionScaling& scaling) {
  double squares = 0;
  for (int64_t first = 0; first < rows.count(); first += kBatch) {
    std::vector<int64_t> chosen(static_cast<size_t>(std::min(kBatch, rows.count() - first)));
    std::iota(chosen.begin(), chosen.end(), first);
    squares +=
        static_cast<double>(chosen.size()) * mlp_error(mlp, scaling.batch(rows, chosen), nullptr);
  }
  return squares / static_cast<double>(rows.count());
}

}  // namespace

Mlp fit_mlp(const RegressionRows& rows,
            const RegressionRows& stopping,
            const LinearFit& start,
            const MlpSettings& settings) {
  ensure(rows.count() > 0 && stopping.count() > 0, "rows to fit, and others to stop by");
  ensure(settings.width >= 2 * rows.targets(), "room for the linear fit");
  const RegressionScaling scaling(rows);
  Random random(settings.seed, "kvzap");
  Mlp mlp = scaling.start(start, settings.width, random);

  Mlp best = mlp;
  double least = error_over(mlp, stopping, scaling);
  Mlp gradient;
  AdamW optimiser(mlp);
  std::vector<int64_t> order(static_cast<size_t>(rows.count()));
  std::iota(order.begin(), order.end(), int64_t{0});
  // What is left of a pass, less than a batch, is another in the next one.
  const int64_t batch = std::min(kBatch, rows.count());
  const int64_t steps = rows.count() / batch;
  int64_t since_best = 0;
  for (int64_t pass = 0; pass < settings.passes && since_best < kPatience; ++pass) {
    shuffle(std::span(order), random);
    for (int64_t step = 0; step < steps; ++step) {
      const auto first = static_cast<size_t>(step * batch);
      const MlpBatch drawn =
          scaling.batch(rows, std::span(order).subspan(first, static_cast<size_t>(batch)));
      mlp_error(mlp, drawn, &gradient);
      optimiser.step(mlp, gradient, rate_at(pass * steps + step, settings.passes * steps));
    }
    const double error = error_over(mlp, stopping, scaling);
    ++since_best;
    if (error < least) {
      least = error;
      best = mlp;
      since_best = 0;
    }
  }
  return scaling.restored(best);
}

}  // namespace dms::llm
