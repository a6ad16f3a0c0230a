#include "policy/leverage.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "policy/hash.h"

namespace dms::policy {
namespace {

constexpr double kFirstJitter = 1e-2;
constexpr int kTries = 5;

/// Box and Muller's normal variable, number `index` of `seed`.
double normal(uint64_t seed, uint64_t index) {
  const uint64_t key = mix(seed ^ mix(index));
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform(mix(key))));
  return radius * std::cos(2.0 * std::numbers::pi * uniform(mix(key + 1)));
}

/// rows less their mean, times the sketch: [n, sketch].
std::vector<double> sketch_rows(std::span<const double> rows,
                                size_t width,
                                size_t sketch,
                                uint64_t seed) {
  const size_t count = rows.size() / width;
  std::vector<double> mean(width, 0.0);
  for (size_t i = 0; i < count; ++i) {
    for (size_t c = 0; c < width; ++c) mean[c] += rows[i * width + c] / static_cast<double>(count);
  }
  std::vector<double> random(width * sketch);
  const double scale = 1.0 / std::sqrt(static_cast<double>(sketch));
  for (size_t i = 0; i < random.size(); ++i) random[i] = scale * normal(seed, i);
  std::vector<double> out(count * sketch, 0.0);
  for (size_t i = 0; i < count; ++i) {
    for (size_t c = 0; c < width; ++c) {
      const double x = rows[i * width + c] - mean[c];
      for (size_t s = 0; s < sketch; ++s) out[i * sketch + s] += x * random[c * sketch + s];
    }
  }
  return out;
}

/// X^T X + jitter I.
std::vector<double> gram(std::span<const double> x, size_t width, double jitter) {
  std::vector<double> sum(width * width, 0.0);
  for (size_t at = 0; at < x.size(); at += width) {
    for (size_t a = 0; a < width; ++a) {
      for (size_t b = 0; b < width; ++b) sum[a * width + b] += x[at + a] * x[at + b];
    }
  }
  for (size_t a = 0; a < width; ++a) sum[a * width + a] += jitter;
  return sum;
}

/// The lower Cholesky factor in place; false: there is none.
bool factorise(std::vector<double>& matrix, size_t width) {
  for (size_t a = 0; a < width; ++a) {
    for (size_t b = 0; b <= a; ++b) {
      double sum = matrix[a * width + b];
      for (size_t c = 0; c < b; ++c) sum -= matrix[a * width + c] * matrix[b * width + c];
      if (a != b) {
        matrix[a * width + b] = sum / matrix[b * width + b];
      } else if (sum > 0.0) {
        matrix[a * width + a] = std::sqrt(sum);
      } else {
        return false;
      }
    }
  }
  return true;
}

}  // namespace

std::vector<float> leverage(std::span<const double> rows,
                            size_t width,
                            size_t sketch,
                            uint64_t seed) {
  const std::vector<double> x = sketch_rows(rows, width, sketch, seed);
  std::vector<float> scores(rows.size() / width, 0.0f);
  std::vector<double> factor;
  double jitter = kFirstJitter;
  bool has_factor = false;
  for (int i = 0; i < kTries && !has_factor; ++i, jitter *= 10.0) {
    factor = gram(x, sketch, jitter);
    has_factor = factorise(factor, sketch);
  }
  if (!has_factor) return scores;  // rows that are not finite
  std::vector<double> solved(sketch);
  for (size_t i = 0; i < scores.size(); ++i) {
    double sum = 0;
    for (size_t a = 0; a < sketch; ++a) {
      double value = x[i * sketch + a];
      for (size_t b = 0; b < a; ++b) value -= factor[a * sketch + b] * solved[b];
      solved[a] = value / factor[a * sketch + a];
      sum += solved[a] * solved[a];
    }
    scores[i] = static_cast<float>(sum);
  }
  return scores;
}

}  // namespace dms::policy
