// A block a row. Weights exp((logit - best) / temperature) are whole numbers of 2^-42, so that sums
// have the same bits in any order: a draw is exact, and top-k and top-p are found by counting
// digits of keys instead of sorting.

#include "cuda/kernels/digit_search.cuh"
#include "cuda/kernels/philox.cuh"
#include "cuda/kernels/sampling.h"

namespace dms::cuda {
namespace {

constexpr float kOne = 0x1p42f;      // a weight of 1
constexpr int kMostVocab = 1 << 21;  // whose weights' sum is below 2^64
constexpr float kNear = 8.0f;  // distance of the best in temperatures: few tokens are that likely
constexpr uint32_t kInfinityKey = 0xff800000u;

/// Rises with x; NaN is above all. -0 is 0.
__device__ __forceinline__ uint32_t rising_key(float x) {
  if (isnan(x)) return 0xffffffffu;
  const uint32_t bits = __float_as_uint(x + 0.0f);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

__device__ __forceinline__ float of_rising_key(uint32_t key) {
  return __uint_as_float((key & 0x80000000u) != 0 ? key & 0x7fffffffu : ~key);
}

/// The highest logit and the lowest of its tokens.
struct Best {
  uint32_t key = 0;
  int32_t token = 0x7fffffff;
};

__device__ __forceinline__ Best best_of_warp(Best own) {
  const uint32_t key = __reduce_max_sync(kAllLanes, own.key);
  const int32_t token = own.key == key ? own.token : 0x7fffffff;
  return {key, __reduce_min_sync(kAllLanes, token)};
}

/// A row's logits, kQuad at a time; -inf beyond the last.
struct Logits {
  const float* x = nullptr;
  int32_t vocab = 0;

  struct Quad {
    float x[kQuad];
  };
  __device__ __forceinline__ Quad at(int32_t i) const {
    if (vocab % kQuad == 0) {  // rows begin at multiples of 16 bytes
      const float4 four = *reinterpret_cast<const float4*>(x + i);
      return {{four.x, four.y, four.z, four.w}};
    }
    Quad quad;
#pragma unroll
    for (int e = 0; e < kQuad; ++e) quad.x[e] = i + e < vocab ? x[i + e] : -INFINITY;
    return quad;
  }
};

template <int kThreads>
__device__ __forceinline__ Best best_of(const Logits& logits) {
  constexpr int kWarps = kThreads / kWarpLanes;
  __shared__ Best bests[kWarps];
  Best best;
#pragma unroll 4
  for (int32_t i = static_cast<int32_t>(threadIdx.x) * kQuad; i < logits.vocab;
       i += kThreads * kQuad) {
    const Logits::Quad quad = logits.at(i);
#pragma unroll
    for (int e = 0; e < kQuad; ++e) {
      const uint32_t key = rising_key(quad.x[e]);
      if (key > best.key) best = {key, i + e};
    }
  }
  best = best_of_warp(best);
  if (own_lane() == 0) bests[own_warp()] = best;
  __syncthreads();
  return best_of_warp(own_lane() < kWarps ? bests[own_lane()] : Best{});
}

/// What the filters leave of a row.
struct Kept {
  float best = 0.0f;
  float inverse_temperature = 1.0f;
  float least_logit = -INFINITY;         // top-k
  uint32_t last_distance = 0xffffffffu;  // top-p: the key of the furthest from the best
  int32_t last_token = 0x7fffffff;       // of those at that distance
  float least_weight = 0.0f;             // min-p

  /// In units of the temperature; its bits rise with it, since it is not negative.
  __device__ __forceinline__ float distance(float logit) const {
    return (best - logit) * inverse_temperature;
  }
  __device__ __forceinline__ uint32_t distance_key(float logit) const {
    return __float_as_uint(distance(logit));
  }
  __device__ __forceinline__ static uint64_t whole(float weight) {
    return __float2ull_rn(weight * kOne);
  }
  /// Under top-k alone.
  __device__ __forceinline__ uint64_t candidate(float logit) const {
    return logit >= least_logit ? whole(expf(-distance(logit))) : 0;
  }
  /// Under all filters.
  __device__ __forceinline__ uint64_t weight(float logit, int32_t token) const {
    const float far = distance(logit);
    const uint32_t key = __float_as_uint(far);
    if (!(logit >= least_logit) || key > last_distance) return 0;
    if (key == last_distance && token > last_token) return 0;
    const float weight = expf(-far);
    return weight < least_weight ? 0 : whole(weight);
  }
};

template <int kThreads>
__device__ __forceinline__ void keep_top_k(const Logits& logits,
                                           int32_t k,
                                           Kept& kept,
                                           SearchRoom<kThreads>& room) {
  const Threshold threshold = find_key<kThreads>(
      logits.vocab,
      [&](int32_t i) {
        const Logits::Quad quad = logits.at(i);
        Entries entries;
#pragma unroll
        for (int e = 0; e < kQuad; ++e) {
          entries.keys[e] = ~rising_key(quad.x[e]);
          entries.amounts.x[e] = i + e < logits.vocab ? 1 : 0;
        }
        return entries;
      },
      [k](uint64_t) { return static_cast<uint64_t>(k); },
      highest_digit(~rising_key(kept.best - kNear / kept.inverse_temperature)),
      room);
  kept.least_logit = of_rising_key(~threshold.key);
}

template <int kThreads>
__device__ __forceinline__ void keep_top_p(const Logits& logits,
                                           float top_p,
                                           Kept& kept,
                                           SearchRoom<kThreads>& room) {
  const Threshold threshold = find_key<kThreads>(
      logits.vocab,
      [&](int32_t i) {
        const Logits::Quad quad = logits.at(i);
        Entries entries;
#pragma unroll
        for (int e = 0; e < kQuad; ++e) {
          entries.keys[e] = kept.distance_key(quad.x[e]);
          entries.amounts.x[e] = kept.candidate(quad.x[e]);
        }
        return entries;
      },
      [top_p](uint64_t total) {
        const double share = ceil(static_cast<double>(top_p) * static_cast<double>(total));
        return min(max(static_cast<uint64_t>(share), uint64_t{1}), total);
      },
      highest_digit(__float_as_uint(kNear)),
      room);
  kept.last_distance = threshold.key;
  if (threshold.is_whole) return;
  // Of tokens that tie at the edge, the first ones.
  const uint64_t each = Kept::whole(expf(-__uint_as_float(threshold.key)));
  const uint64_t ties = (threshold.missing + each - 1) / each;
  const Found last = find<kThreads>(
      logits.vocab,
      [&](int32_t i) {
        const Logits::Quad quad = logits.at(i);
        Amounts amounts;
#pragma unroll
        for (int e = 0; e < kQuad; ++e) {
          const float logit = quad.x[e];
          const bool is_tie =
              logit >= kept.least_logit && kept.distance_key(logit) == threshold.key;
          amounts.x[e] = is_tie ? 1 : 0;
        }
        return amounts;
      },
      [ties](uint64_t) { return ties - 1; },
      room);
  kept.last_token = last.index;
}

template <int kThreads>
__device__ __forceinline__ int32_t
draw(const Logits& logits, const SamplingRow& settings, Kept& kept, SearchRoom<kThreads>& room) {
  if (settings.top_k > 0 && settings.top_k < logits.vocab) {
    keep_top_k(logits, settings.top_k, kept, room);
  }
  if (settings.top_p < 1.0f) keep_top_p(logits, settings.top_p, kept, room);
  kept.least_weight = settings.min_p > 1.0f ? 1.0f : settings.min_p;  // the best has 1
  const uint64_t random = philox(settings.seed, settings.counter);
  return find<kThreads>(
             logits.vocab,
             [&](int32_t i) {
               const Logits::Quad quad = logits.at(i);
               Amounts amounts;
#pragma unroll
               for (int e = 0; e < kQuad; ++e) amounts.x[e] = kept.weight(quad.x[e], i + e);
               return amounts;
             },
             [random](uint64_t total) { return __umul64hi(random, total); },
             room)
      .index;
}

template <int kThreads>
__global__ void __launch_bounds__(kThreads, 1) sample_kernel(const SampleParams params) {
  __shared__ SearchRoom<kThreads> room;
  const Logits logits{params.logits + static_cast<int64_t>(blockIdx.x) * params.vocab,
                      params.vocab};
  const SamplingRow settings = params.settings[blockIdx.x];
  const Best best = best_of<kThreads>(logits);
  Kept kept;
  kept.best = of_rising_key(best.key);
  const bool is_valid = best.key < kInfinityKey && kept.best != -INFINITY;
  kept.inverse_temperature = 1.0f / settings.temperature;
  // Temperatures without a finite reciprocal (below 2^-128) leave the best alone.
  const bool draws = is_valid && settings.temperature > 0.0f && kept.inverse_temperature < INFINITY;
  int32_t token = is_valid ? best.token : -1;
  if (draws) token = draw(logits, settings, kept, room);
  if (threadIdx.x != 0) return;
  params.tokens[blockIdx.x] = token;
  if (draws) params.settings[blockIdx.x].counter = settings.counter + 1;
}

}  // namespace

int64_t sample_workspace_bytes(int32_t /*rows*/, int32_t /*vocab*/) { return 0; }

cudaError_t sample(const SampleParams& params, cudaStream_t stream) {
  if (params.vocab <= 0 || params.vocab > kMostVocab) return cudaErrorInvalidValue;
  if (params.rows == 0) return cudaSuccess;
  constexpr int32_t kSmallVocab = 4096;
  const auto rows = static_cast<unsigned>(params.rows);
  if (params.vocab <= kSmallVocab) {
    sample_kernel<128><<<rows, 128, 0, stream>>>(params);
  } else {
    sample_kernel<1024><<<rows, 1024, 0, stream>>>(params);
  }
  return cudaGetLastError();
}

}  // namespace dms::cuda
