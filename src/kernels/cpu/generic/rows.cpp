// Row operations in plain C++. The sums' order is part of their definition (kernel_table.h).

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/cpu/generic/activation.h"
#include "kernels/kernel_table.h"

namespace dms::kernels {
namespace {

/// Sum of term(i) for i < count, by 32 chains.
template <class Term>
float sum_by_chains(int64_t count, Term term) {
  std::array<float, kSumChains> chains{};
  for (int64_t i = 0; i < count; ++i) chains[static_cast<size_t>(i % kSumChains)] += term(i);
  for (size_t width = kSumChains / 2; width > 0; width /= 2) {
    for (size_t chain = 0; chain < width; ++chain) chains[chain] += chains[chain + width];
  }
  return chains[0];
}

float sum(const float* x, int64_t count) {
  return sum_by_chains(count, [&](int64_t i) { return x[i]; });
}

float sum_products(const float* a, const float* b, int64_t count) {
  return sum_by_chains(count, [&](int64_t i) { return a[i] * b[i]; });
}

float sum_squared_deviations(const float* x, float mean, int64_t count) {
  return sum_by_chains(count, [&](int64_t i) { return (x[i] - mean) * (x[i] - mean); });
}

void normalise(const float* x,
               float mean,
               float factor,
               const float* weight,
               const float* bias,
               int64_t count,
               float* out) {
  for (int64_t i = 0; i < count; ++i) {
    const float value = (x[i] - mean) * factor * weight[i];
    out[i] = bias == nullptr ? value : value + bias[i];
  }
}

void apply(Activation op, float* x, int64_t count) {
  for (int64_t i = 0; i < count; ++i) x[i] = generic::activate(op, x[i]);
}

void soft_cap(float cap, float* x, int64_t count) {
  for (int64_t i = 0; i < count; ++i) x[i] = cap * std::tanh(x[i] / cap);
}

void rotate(float* low, float* high, const float* cos, const float* sin, int64_t half) {
  for (int64_t i = 0; i < half; ++i) {
    const float x = low[i];
    const float y = high[i];
    low[i] = x * cos[i] - y * sin[i];
    high[i] = y * cos[i] + x * sin[i];
  }
}

float soften(float scale, float* x, int64_t count, float* sum) {
  float largest = -std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < count; ++i) largest = std::max(largest, x[i]);
  const float max = scale * largest;
  *sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    x[i] = std::exp(scale * x[i] - max);
    *sum += x[i];
  }
  return max;
}

}  // namespace

const RowTable kRowsGeneric{.sum = sum,
                            .sum_products = sum_products,
                            .sum_squared_deviations = sum_squared_deviations,
                            .normalise = normalise,
                            .apply = apply,
                            .soft_cap = soft_cap,
                            .soften = soften,
                            .rotate = rotate};

}  // namespace dms::kernels
