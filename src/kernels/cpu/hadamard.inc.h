#pragma once
// The Hadamard transform, for every instruction set. Included inside an anonymous namespace.

using HadamardVector = float __attribute__((vector_size(64), aligned(4), may_alias));

/// Adds and subtracts each lane and the one whose index differs in the bit `Step`.
template <int Step>
inline void mix_lanes(HadamardVector* x) {
  const HadamardVector a = *x;
  const auto at = [](int lane) { return lane ^ Step; };
  const HadamardVector b = __builtin_shufflevector(a,
                                                   a,
                                                   at(0),
                                                   at(1),
                                                   at(2),
                                                   at(3),
                                                   at(4),
                                                   at(5),
                                                   at(6),
                                                   at(7),
                                                   at(8),
                                                   at(9),
                                                   at(10),
                                                   at(11),
                                                   at(12),
                                                   at(13),
                                                   at(14),
                                                   at(15));
  HadamardVector signs;
  for (int lane = 0; lane < 16; ++lane) signs[lane] = (lane & Step) != 0 ? -1.0f : 1.0f;
  *x = b + a * signs;
}

inline void hadamard(float* x, int64_t count) {
  constexpr int64_t kLanes = 16;
  int64_t step = 1;
  for (int64_t i = 0; i + kLanes <= count; i += kLanes) {
    auto* vector = reinterpret_cast<HadamardVector*>(x + i);
    mix_lanes<1>(vector);
    mix_lanes<2>(vector);
    mix_lanes<4>(vector);
    mix_lanes<8>(vector);
    step = kLanes;
  }
  for (; step < count; step *= 2) {
    for (int64_t first = 0; first < count; first += 2 * step) {
      float* low = x + first;
      float* high = low + step;
      for (int64_t i = 0; i < step; ++i) {
        const float a = low[i];
        const float b = high[i];
        low[i] = a + b;
        high[i] = a - b;
      }
    }
  }
}
