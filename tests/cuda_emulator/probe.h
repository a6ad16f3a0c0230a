#pragma once
// Cases of a probe: an instruction on the (emulated) device against its meaning, written for the
// host. Included by .cu files.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include <cuda_runtime.h>

namespace cuda_emulator {

struct ProbeCase {
  std::string name;
  std::function<std::string()> run;  // empty, or the first difference
};

// What each .cu has.
std::vector<ProbeCase> integer_cases();
std::vector<ProbeCase> real_cases();
std::vector<ProbeCase> warp_cases();

#ifdef __CUDACC__

/// Numbers with many patterns: edges first, then a generator's.
template <class T>
std::vector<T> samples(size_t count, uint64_t seed) {
  static constexpr uint64_t kEdges[] = {
      0, 1, ~0ull, 0x8000000080000000ull, 0x7fffffff7fffffffull, 31};
  std::vector<T> values(count);
  uint64_t state = seed * 0x9e3779b97f4a7c15ull + 1;
  for (size_t i = 0; i < count; i++) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    // Edges meet each other: the second operand's change six times slower.
    const uint64_t edge = kEdges[(seed % 2 ? i : i / 6) % 6];
    const uint64_t bits = i < 36 ? edge : state;
    std::memcpy(&values[i], &bits, sizeof(T));
  }
  return values;
}

template <class F, class R, class A, class B, class C>
__global__ void probe_kernel(const A* a, const B* b, const C* c, R* out, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) out[i] = F::device(a[i], b[i], c[i]);
}

template <class T>
T* to_device(const std::vector<T>& values) {
  T* device = nullptr;
  cudaMalloc(reinterpret_cast<void**>(&device), values.size() * sizeof(T));
  cudaMemcpy(device, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice);
  return device;
}

template <class T>
std::string text(T value) {
  std::ostringstream out;
  out.precision(17);
  out << +value;
  return out.str();
}

/// Whether a result is near enough: equal, or within `tolerance` of the larger of 1 and the value.
template <class R>
bool is_near(R got, R expected, double tolerance) {
  if (got == expected || (got != got && expected != expected)) return true;
  const double difference = std::fabs(static_cast<double>(got) - static_cast<double>(expected));
  return difference <= tolerance * std::fmax(1.0, std::fabs(static_cast<double>(expected)));
}

/// Runs F::device and F::host(a, b, c) on all samples and compares.
template <class F, class R, class A, class B, class C>
std::string compare(const std::vector<A>& a,
                    const std::vector<B>& b,
                    const std::vector<C>& c,
                    double tolerance) {
  const auto count = static_cast<int>(a.size());
  A* const device_a = to_device(a);
  B* const device_b = to_device(b);
  C* const device_c = to_device(c);
  std::vector<R> got(a.size());
  R* const out = to_device(got);
  probe_kernel<F, R><<<(count + 63) / 64, 64>>>(device_a, device_b, device_c, out, count);
  std::string problem;
  if (const cudaError_t error = cudaGetLastError()) problem = cudaGetErrorString(error);
  cudaMemcpy(got.data(), out, got.size() * sizeof(R), cudaMemcpyDeviceToHost);
  for (void* memory : {static_cast<void*>(device_a), static_cast<void*>(device_b)})
    cudaFree(memory);
  cudaFree(device_c);
  cudaFree(out);
  for (size_t i = 0; i < a.size() && problem.empty(); i++) {
    const R expected = F::host(a[i], b[i], c[i]);
    if (is_near(got[i], expected, tolerance)) continue;
    problem = "f(" + text(a[i]) + ", " + text(b[i]) + ", " + text(c[i]) + "): got " + text(got[i]) +
              ", expected " + text(expected);
  }
  return problem;
}

inline constexpr size_t kSamples = 200;

/// A case of three operands of any bits.
template <class F, class R, class A, class B, class C>
ProbeCase bits_case(const std::string& name) {
  return {name, [] {
            return compare<F, R>(
                samples<A>(kSamples, 1), samples<B>(kSamples, 2), samples<C>(kSamples, 4), 0);
          }};
}

#endif

}  // namespace cuda_emulator
