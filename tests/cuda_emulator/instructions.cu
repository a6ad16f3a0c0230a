// Floating point: roundings, small formats, functions, and what CUDA's library makes of them.

#include <limits>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include "probe.h"

namespace cuda_emulator {
namespace {

using u32 = uint32_t;

/// Values of magnitude 2^-20 to 2^20 with both signs, and those in [-4, 4].
template <class T>
std::vector<T> reals(uint64_t seed, bool is_positive = false) {
  std::vector<T> values(kSamples);
  const std::vector<u32> bits = samples<u32>(kSamples, seed + 1000);
  for (size_t i = 0; i < kSamples; i++) {
    const double mantissa = 1 + static_cast<double>(bits[i]) / 4294967296.0;
    const int exponent =
        i % 2 ? static_cast<int>(bits[i] % 41) - 20 : static_cast<int>(bits[i] % 4) - 2;
    const double sign = is_positive || bits[i] >> 7 & 1 ? 1 : -1;
    values[i] = static_cast<T>(sign * std::ldexp(mantissa, exponent));
  }
  return values;
}

template <class F, class R, class T>
ProbeCase real_case(const std::string& name, double tolerance, bool is_positive = false) {
  return {name, [=] {
            return compare<F, R>(reals<T>(1, is_positive),
                                 reals<T>(2, is_positive),
                                 reals<T>(3, is_positive),
                                 tolerance);
          }};
}

/// In long double, of 64 bits, sums and products of floats are exact enough to tell a rounding.
float rounded_by(long double exact, char mode) {
  const float nearest = static_cast<float>(exact);
  const long double value = nearest;
  const bool to_lower = mode == 'm' || (mode == 'z' && exact > 0);
  if (to_lower && value > exact) return std::nextafterf(nearest, -INFINITY);
  if (!to_lower && value < exact) return std::nextafterf(nearest, INFINITY);
  return nearest;
}
struct DirectedRounding {
  static __device__ float device(float a, float b, float c) {
    return __fadd_rz(a, b) + 2 * __fmul_rd(a, b) + 4 * __fmaf_ru(a, b, c) + __fdiv_rz(a, b);
  }
  static float host(float a, float b, float c) {
    const long double x = a, y = b, z = c;
    const float first = std::fmaf(2, rounded_by(x * y, 'm'), rounded_by(x + y, 'z'));
    return std::fmaf(4, rounded_by(x * y + z, 'p'), first) + rounded_by(x / y, 'z');
  }
};
struct FromInteger {
  static __device__ float device(u32 a, int64_t b, u32) {
    return __uint2float_rz(a) + __ll2float_ru(b) * 0.5f;
  }
  static float host(u32 a, int64_t b, u32) {
    return std::fmaf(rounded_by(b, 'p'), 0.5f, rounded_by(a, 'z'));
  }
};
struct ToInteger {
  static __device__ int64_t device(float a, double b, float) {
    return __float2int_rn(a) + 3ll * __float2int_rd(a) + 5ll * __float2uint_rz(a) +
           7 * __double2ll_ru(b) + 11 * static_cast<int64_t>(rintf(a)) +
           __float2int_rn(a * 1e30f) / 2;
  }
  static int64_t host(float a, double b, float) {
    const int64_t positive = a > 0 ? static_cast<int64_t>(a) : 0;
    const int64_t saturated = a > 0 ? 2147483647 / 2 : -2147483647 / 2 - (a != 0);
    return std::llrint(a) + 3 * static_cast<int64_t>(std::floor(a)) + 5 * positive +
           7 * static_cast<int64_t>(std::ceil(b)) + 11 * std::llrint(a) +
           (std::fabs(a) * 1e30f > 2147483648.0f ? saturated : 0);
  }
};
struct DoubleArithmetic {
  static __device__ double device(double a, double b, double c) {
    return fma(a, b, c) + a / b - sqrt(fabs(c)) + fmin(a, b) * fmax(b, c);
  }
  static double host(double a, double b, double c) {
    // nvcc contracts the last sum.
    return std::fma(
        std::fmin(a, b), std::fmax(b, c), std::fma(a, b, c) + a / b - std::sqrt(std::fabs(c)));
  }
};
struct Reciprocals {
  static __device__ float device(float a, float b, float) {
    return __frcp_rn(a) + __fsqrt_rn(b) * rsqrtf(b) + __fdividef(a, b);
  }
  static float host(float a, float b, float) { return static_cast<float>(1.0 / a + 1.0 + a / b); }
};
struct Exponentials {
  static __device__ float device(float a, float b, float) {
    const float x = fminf(a, 16.0f);
    return exp2f(x) / exp2f(x * 0.5f) + log2f(b) + __expf(-b) + logf(b);
  }
  static float host(float a, float b, float) {
    const double x = std::fmin(a, 16.0f);
    return static_cast<float>(std::exp2(x * 0.5) + std::log2(b) + std::exp(-b) + std::log(b));
  }
};
struct LibraryExp {
  static __device__ float device(float a, float, float) { return expf(fminf(a, 20.0f)); }
  static float host(float a, float, float) {
    return static_cast<float>(std::exp(std::fmin(a, 20.0)));
  }
};
struct LibraryErf {
  static __device__ float device(float a, float b, float) { return erff(a) + erfcf(b) + tanhf(a); }
  static float host(float a, float b, float) {
    return static_cast<float>(std::erf(a) + std::erfc(b) + std::tanh(a));
  }
};
struct LibraryTrigonometry {
  static __device__ float device(float a, float b, float) {
    return sinf(a * 1e5f) + cosf(b) + powf(fabsf(b), 0.3f);
  }
  static float host(float a, float b, float) {
    return static_cast<float>(std::sin(static_cast<double>(a * 1e5f)) + std::cos(b) +
                              std::pow(std::fabs(b), 0.3f));
  }
};
struct MinMaxNan {
  static __device__ float device(float a, float b, float) {
    const float nan = __int_as_float(0x7fffffff);
    float propagated;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(propagated) : "f"(a), "f"(b > 1 ? nan : b));
    return propagated != propagated ? fminf(a, nan) : propagated;
  }
  static float host(float a, float b, float) { return b > 1 ? a : std::fmax(a, b); }
};
/// e4m3 and e5m2 both ways, bf16 and f16 among them, as pairs.
struct SmallFormats {
  static __device__ float device(float a, float b, float c) {
    const __nv_fp8x2_e4m3 pair(make_float2(a, b));
    const float2 wide = static_cast<float2>(pair);
    const __nv_fp8_e5m2 other(c);
    const __nv_bfloat162 halves = __floats2bfloat162_rn(a, c);
    const __half2 f16 = __floats2half2_rn(b * 1e-3f, c * 1e-3f);
    return wide.x + 2 * wide.y + static_cast<float>(other) + __low2float(halves) -
           __high2float(halves) + __low2float(f16) - __high2float(f16);
  }
  static float host(float a, float b, float c) {
    const auto e4m3 = [](float x) { return static_cast<float>(__nv_fp8_e4m3(x)); };
    const auto bf16 = [](float x) { return __bfloat162float(__float2bfloat16(x)); };
    const auto f16 = [](float x) { return __half2float(__float2half(x)); };
    const float first = e4m3(a) + 2 * e4m3(b) + static_cast<float>(__nv_fp8_e5m2(c));
    return first + bf16(a) - bf16(c) + f16(b * 1e-3f) - f16(c * 1e-3f);
  }
};
/// A bf16 fma rounds once: through float it would twice.
struct HalfFma {
  static __device__ float device(float a, float b, float c) {
    const __nv_bfloat16 r = __hfma(__float2bfloat16(a), __float2bfloat16(b), __float2bfloat16(c));
    return __bfloat162float(r) + (__hgt(r, __float2bfloat16(c)) ? 1.0f : 0.0f);
  }
  static float host(float a, float b, float c) {
    const auto bf16 = [](float x) { return __bfloat162float(__float2bfloat16(x)); };
    const double exact = static_cast<double>(bf16(a)) * bf16(b) + bf16(c);
    // To nearest even of eight bits.
    int exponent = 0;
    const double mantissa = std::frexp(exact, &exponent);
    const auto rounded =
        static_cast<float>(std::ldexp(std::nearbyint(std::ldexp(mantissa, 8)), exponent - 8));
    return rounded + (rounded > bf16(c) ? 1.0f : 0.0f);
  }
};
/// All bf16 of a float, for scales: toward zero and to nearest.
struct HalfRoundings {
  static __device__ float device(float a, float, float) {
    return __bfloat162float(__float2bfloat16_rz(a)) + 2 * __half2float(__float2half_rz(a * 1e-2f));
  }
  static float host(float a, float, float) {
    return __bfloat162float(__float2bfloat16_rz(a)) + 2 * __half2float(__float2half_rz(a * 1e-2f));
  }
};
struct HalfPairs {
  static __device__ u32 device(u32 a, u32 b, u32) {
    __nv_bfloat162 x, y;
    memcpy(&x, &a, 4);
    memcpy(&y, &b, 4);
    const __nv_bfloat162 least = __hmin2(x, y), flags = __hge2(x, y), sum = __hadd2(x, y);
    u32 bits[3];
    memcpy(&bits[0], &least, 4);
    memcpy(&bits[1], &flags, 4);
    memcpy(&bits[2], &sum, 4);
    return bits[0] ^ bits[1] * 3 ^ bits[2] * 5;
  }
  static u32 host(u32 a, u32 b, u32) {
    u32 result = 0, flags = 0, sums = 0;
    for (int shift = 0; shift < 32; shift += 16) {
      __nv_bfloat16 x, y;
      const uint16_t a_bits = static_cast<uint16_t>(a >> shift),
                     b_bits = static_cast<uint16_t>(b >> shift);
      memcpy(&x, &a_bits, 2);
      memcpy(&y, &b_bits, 2);
      const float fx = __bfloat162float(x), fy = __bfloat162float(y);
      const uint16_t least = fx != fx ? (fy != fy ? 0x7fff : b_bits)
                             : fy != fy || fx < fy || (fx == fy && a_bits >> 15) ? a_bits
                                                                                 : b_bits;
      const __nv_bfloat16 sum = __float2bfloat16(fx + fy);
      uint16_t sum_bits;
      memcpy(&sum_bits, &sum, 2);
      result |= static_cast<u32>(least) << shift;
      flags |= (fx >= fy ? 0x3f80u : 0u) << shift;
      sums |= static_cast<u32>(fx + fy != fx + fy ? 0x7fff : sum_bits) << shift;
    }
    return result ^ flags * 3 ^ sums * 5;
  }
};
struct Properties {
  static __device__ u32 device(float a, u32 b, float) {
    const float x = __uint_as_float(b);
    return isnan(x) + 2 * isinf(x) + 4 * isfinite(x) + 8 * signbit(x) + 16 * (copysignf(a, x) < 0);
  }
  static u32 host(float, u32 b, float) {
    const bool sign = b >> 31, special = (b >> 23 & 255) == 255, nan = special && (b & 0x7fffff);
    return nan + 2 * (special && !nan) + 4 * !special + 8 * sign + 16 * sign;
  }
};

/// Atomics on global memory, as all threads of four blocks see them in the end.
__global__ void atomics_kernel(u32* words, unsigned long long* wide, float* sums, double* doubles) {
  const u32 i = blockIdx.x * blockDim.x + threadIdx.x;
  atomicAdd(&words[0], i);
  atomicOr(&words[1], 1u << (i % 32));
  atomicAnd(&words[2], ~(1u << (i % 8)));
  atomicXor(&words[3], i);
  atomicMax(&words[4], i * 2654435761u % 1009);
  atomicMin(reinterpret_cast<int*>(&words[5]), static_cast<int>(i) - 100);
  atomicCAS(&words[6], 0u, 77u);
  atomicInc(&words[7], 9u);
  if (i == 3) atomicExch(&words[8], 5u);
  atomicMax(reinterpret_cast<int*>(&words[9]), -static_cast<int>(i) - 1);
  atomicAdd(&wide[0], i * 10000000000ull);
  atomicMax(&wide[1], i * 1000003ull % 257);
  atomicAdd(&sums[0], 0.5f);
  atomicAdd(&doubles[0], 0.25);
  atomicAdd(reinterpret_cast<__nv_bfloat162*>(&words[10]), __floats2bfloat162_rn(1.0f, 0.5f));
}

template <class T>
std::vector<T> from_device(T* device, size_t count) {
  std::vector<T> values(count);
  cudaMemcpy(values.data(), device, count * sizeof(T), cudaMemcpyDeviceToHost);
  cudaFree(device);
  return values;
}

std::string run_atomics() {
  u32* const words = to_device(std::vector<u32>{0, 0, ~0u, 0, 0, 0, 0, 0, 0, 0x80000000u, 0});
  auto* const wide = to_device(std::vector<unsigned long long>{0, 0});
  float* const sums = to_device(std::vector<float>{0});
  double* const doubles = to_device(std::vector<double>{0});
  atomics_kernel<<<4, 32>>>(words, wide, sums, doubles);
  if (const cudaError_t error = cudaGetLastError()) return cudaGetErrorString(error);
  u32 most = 0;
  unsigned long long most_wide = 0;
  for (u32 i = 0; i < 128; i++) {
    most = std::max(most, i * 2654435761u % 1009);
    most_wide = std::max(most_wide, i * 1000003ull % 257);
  }
  const std::vector<u32> expected = {
      8128, ~0u, 0xffffff00u, 0, most, static_cast<u32>(-100), 77, 8, 5, ~0u, 0x42804300u};
  const std::vector<u32> got = from_device(words, expected.size());
  for (size_t i = 0; i < expected.size(); i++) {
    if (got[i] != expected[i]) return "word " + text(i) + ": got " + text(got[i]);
  }
  const bool wide_is_good =
      from_device(wide, 2) == std::vector<unsigned long long>{81280000000000ull, most_wide};
  const bool sums_are_good = from_device(sums, 1)[0] == 64 && from_device(doubles, 1)[0] == 32;
  return wide_is_good && sums_are_good ? "" : "64-bit or real atomics";
}

/// Local arrays, constant memory, and pointers whose space is known at run time.
__constant__ float constants[8] = {1, 2, 3, 4, 5, 6, 7, 8};
struct Spaces {
  static __device__ float device(u32 a, float b, float) {
    float local[16];
    for (int i = 0; i < 16; i++) local[i] = b * static_cast<float>(i);
    __shared__ float shared[64];
    shared[threadIdx.x] = b + 1;
    const float* const pointer = a & 16 ? &shared[threadIdx.x] : &local[a & 15];
    return *pointer + constants[a & 7];
  }
  static float host(u32 a, float b, float) {
    return (a & 16 ? b + 1 : b * static_cast<float>(a & 15)) + static_cast<float>((a & 7) + 1);
  }
};

template <class F, class R, class A, class B>
ProbeCase mixed_case(const std::string& name, std::vector<A> (*a)(), std::vector<B> (*b)()) {
  return {name, [=] { return compare<F, R>(a(), b(), reals<float>(3), 0); }};
}

std::vector<u32> some_bits() { return samples<u32>(kSamples, 1); }
std::vector<float> some_floats() { return reals<float>(1); }
std::vector<double> some_doubles() { return reals<double>(2); }

}  // namespace

std::vector<ProbeCase> real_cases() {
  return {
      real_case<DirectedRounding, float, float>("DirectedRounding", 1e-6),
      bits_case<FromInteger, float, u32, int64_t, u32>("FromInteger"),
      mixed_case<ToInteger, int64_t, float, double>("ToInteger", some_floats, some_doubles),
      real_case<DoubleArithmetic, double, double>("DoubleArithmetic", 0),
      real_case<Reciprocals, float, float>("Reciprocals", 1e-6, true),
      real_case<Exponentials, float, float>("Exponentials", 2e-6, true),
      real_case<LibraryExp, float, float>("LibraryExp", 3e-7),
      real_case<LibraryErf, float, float>("LibraryErf", 1e-6),
      real_case<LibraryTrigonometry, float, float>("LibraryTrigonometry", 2e-6),
      real_case<MinMaxNan, float, float>("MinMaxNan", 0),
      real_case<SmallFormats, float, float>("SmallFormats", 1e-6),
      real_case<HalfFma, float, float>("HalfFma", 0),
      bits_case<HalfPairs, u32, u32, u32, u32>("HalfPairs"),
      real_case<HalfRoundings, float, float>("HalfRoundings", 0),
      mixed_case<Properties, u32, float, u32>("Properties", some_floats, some_bits),
      mixed_case<Spaces, float, u32, float>("Spaces", some_bits, some_floats),
      {"Atomics", run_atomics},
  };
}

}  // namespace cuda_emulator
