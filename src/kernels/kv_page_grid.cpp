// Sides of pages whose codes are indices of points: int4, lloyd4 and higgs*. A head is divided by
// its root mean square and rotated (kv_rotation.h), which makes its channels nearly standard
// normal, for which the points have the least mean squared error (HIGGS, Malinovskii et al. 2024).
// The scale is then the one with which the points come nearest to the head, in bf16.
// int4's levels are a step apart, the optimum for 16 of them (Max 1960).

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/kv_codes.h"
#include "kernels/kv_grids.h"
#include "kernels/kv_rotation.h"
#include "kernels/kv_scale.h"
#include "kernels/nearest_pair.h"

namespace dms::kernels {
namespace {

constexpr float kInt4Step = 0.3352f;

constexpr std::array<float, 16> integer_levels() {
  std::array<float, 16> levels{};
  for (size_t i = 0; i < levels.size(); ++i) levels[i] = static_cast<float>(i) - 7.5f;
  return levels;
}

/// Of numbers that bf16 holds exactly.
template <size_t N>
constexpr std::array<uint16_t, N> bf16_bits(const std::array<float, N>& numbers) {
  std::array<uint16_t, N> bits{};
  for (size_t i = 0; i < N; ++i) {
    bits[i] = static_cast<uint16_t>(std::bit_cast<uint32_t>(numbers[i]) >> 16);
  }
  return bits;
}

/// Index of the nearest of 16 rising points.
unsigned nearest(const std::array<float, 16>& points, float x) {
  unsigned index = 0;
  for (size_t i = 0; i + 1 < points.size(); ++i) {
    index += x > 0.5f * (points[i] + points[i + 1]) ? 1u : 0u;
  }
  return index;
}

struct Int4 {
  static constexpr CodeKind kKind = CodeKind::points16;
  static constexpr float kUnit = kInt4Step;
  static constexpr std::array kPoints = integer_levels();
  static constexpr std::array kBits = bf16_bits(kPoints);
  static unsigned code(float x, float) { return nearest(kPoints, x); }
};

struct Lloyd4 {
  static constexpr CodeKind kKind = CodeKind::points16;
  static constexpr float kUnit = 1.0f;
  static constexpr std::array kPoints = kLloyd4;
  static constexpr std::array kBits = bf16_bits(kPoints);
  static unsigned code(float x, float) { return nearest(kPoints, x); }
};

template <CodeKind Kind, const auto& Points>
struct Higgs {
  static constexpr CodeKind kKind = Kind;
  static constexpr float kUnit = 1.0f;
  static constexpr std::array kPoints = Points;
  static constexpr std::array kBits = bf16_bits(kPoints);
  static unsigned code(float first, float second) {
    static const NearestPair finder(kPoints);
    return finder(first, second);
  }
};

using Higgs4 = Higgs<CodeKind::pairs256, kHiggs4>;
using Higgs3 = Higgs<CodeKind::pairs64, kHiggs3>;
using Higgs2 = Higgs<CodeKind::pairs16, kHiggs2>;

/// The numbers that a code stands for.
template <class Type>
std::array<float, 2> numbers(unsigned code) {
  if constexpr (is_paired(Type::kKind)) {
    return {Type::kPoints[code], Type::kPoints[Type::kPoints.size() / 2 + code]};
  } else {
    return {Type::kPoints[code], 0.0f};
  }
}

double root_mean_square(const float* x, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(x[i]) * x[i];
  return std::sqrt(sum / static_cast<double>(count));
}

/// A head on its way in or out, with room for a pair's second channel beyond the last.
std::vector<float>& channels(const SideSlot& at) {
  thread_local std::vector<float> all;
  all.assign(static_cast<size_t>(at.head_dim_padded), 0.0f);
  return all;
}

template <class Type>
void encode(const SideSlot& to, const float* x) {
  const double unit = root_mean_square(x, to.head_dim) * Type::kUnit;
  const bool is_finite = all_finite(x, to.head_dim);
  const bool is_zero = !is_finite || unit < std::numeric_limits<float>::min();
  std::vector<float>& y = channels(to);
  for (int64_t c = 0; c < to.head_dim && !is_zero; ++c) {
    y[static_cast<size_t>(c)] = static_cast<float>(x[c] / unit);
  }
  rotate_head(y.data(), to.head_dim);
  double products = 0;
  double squares = 0;
  for (int64_t i = 0; i < token_codes(Type::kKind, to); ++i) {
    const CodePlace place = code_place(Type::kKind, to, i);
    if (place.channel >= to.head_dim) continue;
    const float first = y[static_cast<size_t>(place.channel)];
    const int64_t other = place.channel + pair_step(to.side);
    const bool has_second = is_paired(Type::kKind) && other < to.head_dim;
    const float second = has_second ? y[static_cast<size_t>(other)] : 0.0f;
    const unsigned code = Type::code(first, second);
    write_code<Type::kKind>(to.data, place.vector, place.lane, code);
    const auto [a, b] = numbers<Type>(code);
    products += static_cast<double>(first) * a + static_cast<double>(second) * b;
    squares += static_cast<double>(a) * a + (has_second ? static_cast<double>(b) * b : 0.0);
  }
  const double fit = products > 0 && squares > 0 ? products / squares : 1.0;
  const BFloat16 scale = is_zero ? BFloat16{} : to_bf16(static_cast<float>(unit * fit));
  write_scale(to, is_finite ? scale : nan_scale());
}

template <class Type>
void decode(const SideSlot& from, float* x) {
  const float scale = read_scale(from);
  std::vector<float>& y = channels(from);
  for (int64_t i = 0; i < token_codes(Type::kKind, from); ++i) {
    const CodePlace place = code_place(Type::kKind, from, i);
    const auto pair = numbers<Type>(read_code<Type::kKind>(from.data, place.vector, place.lane));
    y[static_cast<size_t>(place.channel)] = scale * pair[0];
    if (is_paired(Type::kKind)) {
      y[static_cast<size_t>(place.channel + pair_step(from.side))] = scale * pair[1];
    }
  }
  turn_head_back(y.data(), from.head_dim);
  std::copy_n(y.begin(), from.head_dim, x);
}

template <class Type>
constexpr KvFormatRow row(KvFormat format, std::string_view name, int64_t bits) {
  return {.format = format,
          .name = name,
          .bits = bits,
          .channel_multiple = is_paired(Type::kKind) ? 32 : 16,
          .codes = Type::kKind,
          .points = Type::kBits.data(),
          .is_rotated = true,
          .encode = encode<Type>,
          .decode = decode<Type>,
          .copy = copy_codes<Type::kKind>};
}

}  // namespace

constinit const KvFormatRow kFormatInt4 = row<Int4>(KvFormat::int4, "int4", 4);
constinit const KvFormatRow kFormatLloyd4 = row<Lloyd4>(KvFormat::lloyd4, "lloyd4", 4);
constinit const KvFormatRow kFormatHiggs4 = row<Higgs4>(KvFormat::higgs4, "higgs4", 4);
constinit const KvFormatRow kFormatHiggs3 = row<Higgs3>(KvFormat::higgs3, "higgs3", 3);
constinit const KvFormatRow kFormatHiggs2 = row<Higgs2>(KvFormat::higgs2, "higgs2", 2);

}  // namespace dms::kernels
