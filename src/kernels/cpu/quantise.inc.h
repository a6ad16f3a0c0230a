// The search for a group's scale, kLanes rows side by side in one vector, included by the files of
// all instruction sets into their anonymous namespaces after kLanes. Every lane is a row of its own
// and nothing is added up across lanes, so the bits do not depend on the width.

using Lanes = float __attribute__((vector_size(kLanes * 4)));
using LaneBits = int32_t __attribute__((vector_size(kLanes * 4)));

constexpr int kCandidates = 24;
constexpr float kLargestHalf = 65504.0f;

inline Lanes all(float x) { return Lanes{} + x; }

inline Lanes lanes_at(const float* x) {
  Lanes lanes;
  __builtin_memcpy(&lanes, x, sizeof lanes);
  return lanes;
}

inline Lanes magnitude(Lanes x) {
  return reinterpret_cast<Lanes>(reinterpret_cast<LaneBits>(x) & 0x7fffffff);
}

inline Lanes clamp(Lanes x, float low, float high) {
  x = x < low ? all(low) : x;
  return x > high ? all(high) : x;
}

/// To the nearest integer, ties to even. |x| < 2^22.
inline Lanes nearest(Lanes x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23
  return (x + kRound) - kRound;
}

/// To the nearest half, ties to even; what is too large to the largest.
inline Lanes nearest_half(Lanes x) {
  const Lanes size = magnitude(x);
  const LaneBits bits = reinterpret_cast<LaneBits>(size);
  const LaneBits rounded = (bits + 0xfff + ((bits >> 13) & 1)) & ~0x1fff;
  const Lanes tiny = (size + 0.5f) - 0.5f;  // multiples of 2^-24
  Lanes half = size < 0x1p-14f ? tiny : reinterpret_cast<Lanes>(rounded);
  half = size > kLargestHalf ? all(kLargestHalf) : half;
  return x < 0.0f ? -half : half;
}

inline Lanes inverse(Lanes x) { return x == 0.0f ? Lanes{} : 1.0f / x; }

/// A scale and a minimum for each row; code = nearest((value - minimum) / scale) within the levels.
struct Grid {
  Lanes scale;
  Lanes minimum;
};

struct Search {
  const QuantiseBlockCall& call;
  int64_t first_row;  // of the kLanes rows
  float low;          // levels that codes stand for
  float high;
  Grid best{};
  Lanes best_error{};
  bool has_best = false;

  Lanes value(int64_t column) const {
    return lanes_at(call.values + column * kQuantiseRows + first_row);
  }
  float importance(int64_t column) const {
    return call.importance == nullptr ? 1.0f : call.importance[column];
  }
  Lanes level(const Grid& grid, Lanes inverse_scale, Lanes x) const {
    return nearest(clamp((x - grid.minimum) * inverse_scale, low, high));
  }

  /// Keeps a grid, rounded to halves, in the rows where it errs less than the best so far.
  void consider(const Grid& exact) {
    const Grid grid{nearest_half(exact.scale), nearest_half(exact.minimum)};
    const Lanes inverse_scale = inverse(grid.scale);
    Lanes error{};
    for (int64_t column = 0; column < call.columns; ++column) {
      const Lanes x = value(column);
      const Lanes off = x - (level(grid, inverse_scale, x) * grid.scale + grid.minimum);
      error += off * off * importance(column);
    }
    const LaneBits better = has_best ? error < best_error : LaneBits{} - 1;
    best.scale = better ? grid.scale : best.scale;
    best.minimum = better ? grid.minimum : best.minimum;
    best_error = better ? error : best_error;
    has_best = true;
  }

  /// The scale that errs least with the levels that `grid` gives.
  Grid refined_scale(const Grid& grid) const {
    const Lanes inverse_scale = inverse(grid.scale);
    Lanes products{};
    Lanes squares{};
    for (int64_t column = 0; column < call.columns; ++column) {
      const Lanes x = value(column);
      const Lanes q = level(grid, inverse_scale, x);
      products += x * q * importance(column);
      squares += q * q * importance(column);
    }
    return {products * inverse(squares), Lanes{}};
  }

  /// The scale and minimum that err least with the levels that `grid` gives.
  Grid refined_line(const Grid& grid) const {
    const Lanes inverse_scale = inverse(grid.scale);
    float weight = 0.0f;
    Lanes levels{};
    Lanes squares{};
    Lanes values{};
    Lanes products{};
    for (int64_t column = 0; column < call.columns; ++column) {
      const float h = importance(column);
      const Lanes x = value(column);
      const Lanes q = level(grid, inverse_scale, x);
      weight += h;
      levels += q * h;
      squares += q * q * h;
      values += x * h;
      products += x * q * h;
    }
    const Lanes scale =
        (products * weight - levels * values) * inverse(squares * weight - levels * levels);
    const Lanes minimum = weight == 0.0f ? Lanes{} : (values - scale * levels) * (1.0f / weight);
    return {scale, minimum};
  }

  void search_scales() {
    Lanes largest{};
    for (int64_t column = 0; column < call.columns; ++column) {
      const Lanes x = value(column);
      largest = magnitude(x) > magnitude(largest) ? x : largest;
    }
    consider({magnitude(largest) / high, Lanes{}});
    consider({largest / low, Lanes{}});
    // What becomes the lowest level: from a fifth inside the range to a third beyond it (clipped).
    for (int i = 0; i < kCandidates; ++i) {
      const float edge = low * (0.8f + 0.55f / kCandidates * static_cast<float>(i));
      consider(refined_scale({largest / edge, Lanes{}}));
    }
  }

  void search_lines() {
    Lanes least = value(0);
    Lanes most = least;
    for (int64_t column = 1; column < call.columns; ++column) {
      const Lanes x = value(column);
      least = x < least ? x : least;
      most = x > most ? x : most;
    }
    consider({(most - least) / high, least});
    for (int i = 0; i < kCandidates; ++i) {
      const float steps = high * (0.9f + 0.5f / kCandidates * static_cast<float>(i));
      const Lanes scale = (most - least) / steps;
      const Lanes middle = (most + least) * 0.5f;
      consider(refined_line({scale, middle - scale * (high * 0.5f)}));
    }
  }

  void emit() const {
    const Lanes inverse_scale = inverse(best.scale);
    const auto offset = static_cast<int32_t>(-low);
    for (int64_t column = 0; column < call.columns; ++column) {
      const Lanes q = level(best, inverse_scale, value(column));
      uint8_t* codes = call.codes + column * kQuantiseRows + first_row;
      for (int64_t row = 0; row < kLanes; ++row) {
        codes[row] = static_cast<uint8_t>(static_cast<int32_t>(q[row]) + offset);
      }
    }
    __builtin_memcpy(call.scales + first_row, &best.scale, sizeof best.scale);
    if (!call.minima) return;
    __builtin_memcpy(call.minimum + first_row, &best.minimum, sizeof best.minimum);
  }
};

void quantise_block(const QuantiseBlockCall& call) {
  const auto zero = static_cast<float>(call.zero);
  const float low = call.minima ? 0.0f : -zero;
  const float high = call.minima ? 2 * zero - 1 : zero - 1;
  for (int64_t row = 0; row < kQuantiseRows; row += kLanes) {
    Search search{.call = call, .first_row = row, .low = low, .high = high};
    if (call.minima) {
      search.search_lines();
    } else {
      search.search_scales();
    }
    search.emit();
  }
}
