// Vectors of kLanes floats by the compiler's vector type, and the functions that activations need.
// Included by the AVX2 and AVX-512 files into their anonymous namespaces after kLanes; without
// fused multiply-add (see CMakeLists.txt), so that both sets give the same bits.

using Vector = float __attribute__((vector_size(kLanes * 4)));
using Bits = int32_t __attribute__((vector_size(kLanes * 4)));

inline Vector load(const float* x) {
  Vector lanes;
  __builtin_memcpy(&lanes, x, sizeof lanes);
  return lanes;
}

inline void store(float* target, Vector x) { __builtin_memcpy(target, &x, sizeof x); }

/// The first `count` floats; the other lanes are zero.
inline Vector load_first(const float* x, int64_t count) {
  alignas(64) float lanes[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i] = x[i];
  return load(lanes);
}

inline void store_first(float* target, Vector x, int64_t count) {
  alignas(64) float lanes[kLanes];
  store(lanes, x);
  for (int64_t i = 0; i < count; ++i) target[i] = lanes[i];
}

/// e^x to 2 units in the last place; 0 below and infinity above what a float can hold.
/// x = n ln 2 + r with |r| <= ln 2 / 2, Taylor's series to r^7 (next term: 5e-9 relative).
/// Of several vectors, step by step: one alone is a chain of thirty operations, and few of those
/// find room in a core at once.
template <unsigned kCount>
inline void exponentiate(Vector (&x)[kCount]) {
  constexpr float kLog2E = 1.44269504f;
  constexpr float kLn2High = 0.693359375f;  // few bits: n * kLn2High is exact
  constexpr float kLn2Low = -2.12194440e-4f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer
  constexpr int32_t kRoundBits = 0x4b400000;
  constexpr float kSeries[] = {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f};
  Vector shifted[kCount];
  Vector r[kCount];
  Vector p[kCount];
  for (unsigned i = 0; i < kCount; ++i) x[i] = x[i] < -104.0f ? Vector{} - 104.0f : x[i];
  for (unsigned i = 0; i < kCount; ++i) x[i] = x[i] > 89.0f ? Vector{} + 89.0f : x[i];
  for (unsigned i = 0; i < kCount; ++i) shifted[i] = x[i] * kLog2E + kRound;
  for (unsigned i = 0; i < kCount; ++i) {
    const Vector n = shifted[i] - kRound;
    r[i] = (x[i] - n * kLn2High) - n * kLn2Low;
  }
  for (unsigned i = 0; i < kCount; ++i) p[i] = r[i] * (1.0f / 5040) + kSeries[0];
  for (unsigned term = 1; term < 5; ++term) {
    for (unsigned i = 0; i < kCount; ++i) p[i] = p[i] * r[i] + kSeries[term];
  }
  for (unsigned i = 0; i < kCount; ++i) p[i] = p[i] * r[i] * r[i] + r[i] + 1.0f;
  for (unsigned i = 0; i < kCount; ++i) {
    const Bits power = reinterpret_cast<Bits>(shifted[i]) - kRoundBits;
    const Bits half = power >> 1;  // two factors: 2^-149 and 2^128 are no single normal float
    const Bits first = (half + 127) << 23;
    const Bits second = (power - half + 127) << 23;
    x[i] = p[i] * reinterpret_cast<Vector>(first) * reinterpret_cast<Vector>(second);
  }
}

inline Vector exponential(Vector x) {
  Vector one[1] = {x};
  exponentiate(one);
  return one[0];
}

inline Vector absolute(Vector x) {
  return reinterpret_cast<Vector>(reinterpret_cast<Bits>(x) & 0x7fffffff);
}

/// erfc(z) for z >= 0. With t = 1 / (1 + z / 2), erfc(z) e^(z^2) / t is a smooth function of t in
/// (0, 1]: this polynomial fits it to 5e-8 relative for z <= 14 (least squares on Chebyshev nodes).
inline Vector complementary_error(Vector z) {
  const Vector t = 1.0f / (1.0f + 0.5f * z);
  Vector p = t * -0.0597917499f + 0.287994414f;
  p = p * t - 0.494035906f;
  p = p * t + 0.285580607f;
  p = p * t - 0.0315702812f;
  p = p * t + 0.204673092f;
  p = p * t + 0.242630303f;
  p = p * t + 0.282436297f;
  p = p * t + 0.282083177f;
  return p * t * exponential(-(z * z));
}

/// x times the normal distribution's share below x: the tail on the far side of zero is the small
/// one, and is what is computed.
inline Vector gelu(Vector x) {
  constexpr float kRootHalf = 0.707106781f;
  const Vector tail = 0.5f * complementary_error(absolute(x) * kRootHalf);
  return x * (x > 0.0f ? 1.0f - tail : tail);
}

inline Vector silu(Vector x) { return x / (1.0f + exponential(-x)); }

/// 0.5 x (1 + tanh(u)) = x / (1 + e^-2u)
inline Vector gelu_tanh(Vector x) {
  constexpr float kTwoRootTwoOverPi = 1.59576912f;
  return x / (1.0f + exponential(-kTwoRootTwoOverPi * (x + 0.044715f * x * x * x)));
}

/// To half a unit in the last place of 1.
inline Vector hyperbolic_tangent(Vector x) { return 1.0f - 2.0f / (1.0f + exponential(2.0f * x)); }

inline Vector relu(Vector x) { return x > 0.0f ? x : Vector{}; }

inline Vector activate(Activation op, Vector x) {
  switch (op) {
    case Activation::silu:
      return silu(x);
    case Activation::gelu:
      return gelu(x);
    case Activation::gelu_tanh:
      return gelu_tanh(x);
    case Activation::relu:
      break;
  }
  return relu(x);
}
