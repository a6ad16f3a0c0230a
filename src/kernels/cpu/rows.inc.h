// Row operations, included by the AVX2 and AVX-512 files into their anonymous namespaces after
// kLanes.

#include "kernels/cpu/vector_math.inc.h"

constexpr int kSumVectors = static_cast<int>(kSumChains) / kLanes;

inline float add_chains(const Vector (&sums)[kSumVectors]) {
  alignas(64) float chains[kSumChains];
  for (int v = 0; v < kSumVectors; ++v) store(chains + v * kLanes, sums[v]);
  for (int64_t width = kSumChains / 2; width > 0; width /= 2) {
    for (int64_t chain = 0; chain < width; ++chain) chains[chain] += chains[chain + width];
  }
  return chains[0];
}

/// Sum of term(index, load) by 32 chains; `load` reads a whole vector or the last few lanes.
template <class Term>
inline float sum_by_chains(int64_t count, Term term) {
  Vector sums[kSumVectors] = {};
  int64_t i = 0;
  for (; i + kSumChains <= count; i += kSumChains) {
    for (int v = 0; v < kSumVectors; ++v) sums[v] += term(i + v * kLanes, load);
  }
  for (int v = 0; i < count; ++v, i += kLanes) {
    const int64_t left = count - i < kLanes ? count - i : kLanes;
    const auto load_left = [left](const float* x) { return load_first(x, left); };
    const Vector value = term(i, load_left);
    // Lanes past the end add nothing, not even to a sign: they are left as they are.
    Bits keep;
    for (int lane = 0; lane < kLanes; ++lane) keep[lane] = lane < left ? -1 : 0;
    sums[v] = keep ? sums[v] + value : sums[v];
  }
  return add_chains(sums);
}

float sum(const float* x, int64_t count) {
  return sum_by_chains(count, [x](int64_t i, auto load_from) { return load_from(x + i); });
}

float sum_products(const float* a, const float* b, int64_t count) {
  return sum_by_chains(
      count, [a, b](int64_t i, auto load_from) { return load_from(a + i) * load_from(b + i); });
}

float sum_squared_deviations(const float* x, float mean, int64_t count) {
  return sum_by_chains(count, [x, mean](int64_t i, auto load_from) {
    const Vector deviation = load_from(x + i) - mean;
    return deviation * deviation;
  });
}

void normalise(const float* x,
               float mean,
               float factor,
               const float* weight,
               const float* bias,
               int64_t count,
               float* out) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Vector value = (load(x + i) - mean) * factor * load(weight + i);
    store(out + i, bias == nullptr ? value : value + load(bias + i));
  }
  for (; i < count; ++i) {
    const float value = (x[i] - mean) * factor * weight[i];
    out[i] = bias == nullptr ? value : value + bias[i];
  }
}

void apply(Activation op, float* x, int64_t count) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(x + i, activate(op, load(x + i)));
  if (i < count) store_first(x + i, activate(op, load_first(x + i, count - i)), count - i);
}

void soft_cap(float cap, float* x, int64_t count) {
  const float inverse = 1.0f / cap;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    store(x + i, cap * hyperbolic_tangent(load(x + i) * inverse));
  }
  if (i == count) return;
  const int64_t left = count - i;
  store_first(x + i, cap * hyperbolic_tangent(load_first(x + i, left) * inverse), left);
}

void rotate(float* low, float* high, const float* cos, const float* sin, int64_t half) {
  int64_t i = 0;
  for (; i + kLanes <= half; i += kLanes) {
    const Vector x = load(low + i);
    const Vector y = load(high + i);
    store(low + i, x * load(cos + i) - y * load(sin + i));
    store(high + i, y * load(cos + i) + x * load(sin + i));
  }
  for (; i < half; ++i) {
    const float x = low[i];
    const float y = high[i];
    low[i] = x * cos[i] - y * sin[i];
    high[i] = y * cos[i] + x * sin[i];
  }
}

inline float largest(const float* x, int64_t count) {
  constexpr unsigned kChains = 4;
  Vector chains[kChains];
  for (Vector& chain : chains) chain = Vector{} - __builtin_inff();
  const auto take = [&](unsigned chain, const float* from) {
    const Vector value = load(from);
    chains[chain] = chains[chain] < value ? value : chains[chain];
  };
  int64_t i = 0;
  for (; i + kChains * kLanes <= count; i += kChains * kLanes) {
    for (unsigned chain = 0; chain < kChains; ++chain) take(chain, x + i + chain * kLanes);
  }
  for (; i + kLanes <= count; i += kLanes) take(0, x + i);
  float max = -__builtin_inff();
  const auto join = [&](float value) { max = max < value ? value : max; };
  for (const Vector& chain : chains) {
    alignas(64) float lanes[kLanes];
    store(lanes, chain);
    for (const float lane : lanes) join(lane);
  }
  for (; i < count; ++i) join(x[i]);
  return max;
}

/// x becomes e^(scale x - max), kCount vectors of it; adds them to the sums.
template <unsigned kCount>
inline void soften_vectors(float scale, float max, float* x, Vector& sums) {
  Vector values[kCount];
  for (unsigned v = 0; v < kCount; ++v) values[v] = scale * load(x + v * kLanes) - max;
  exponentiate(values);
  for (unsigned v = 0; v < kCount; ++v) {
    store(x + v * kLanes, values[v]);
    sums += values[v];
  }
}

float soften(float scale, float* x, int64_t count, float* sum) {
  constexpr unsigned kTogether = 4;
  const float max = scale * largest(x, count);
  Vector sums = {};
  int64_t i = 0;
  for (; i + kTogether * kLanes <= count; i += kTogether * kLanes) {
    soften_vectors<kTogether>(scale, max, x + i, sums);
  }
  for (; i + kLanes <= count; i += kLanes) soften_vectors<1>(scale, max, x + i, sums);
  if (i < count) {
    const Vector last = exponential(scale * load_first(x + i, count - i) - max);
    store_first(x + i, last, count - i);
    sums += load_first(x + i, count - i);
  }
  alignas(64) float lanes[kLanes];
  store(lanes, sums);
  *sum = 0;
  for (const float lane : lanes) *sum += lane;
  return max;
}
