// A block a row. Weights exp((logit - best) / temperature) are whole numbers of 2^-42, so that sums
// have the same bits in any order: a draw is exact, and top-k and top-p are found by counting
// digits of keys instead of sorting.

#include "cuda/kernels/philox.cuh"
#include "cuda/kernels/reduce.cuh"
#include "cuda/kernels/sampling.h"

namespace dms::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr int kWarps = kThreads / kWarpLanes;
static_assert(kWarps == kWarpLanes, "a warp scans the warps' sums");
constexpr float kOne = 0x1p42f;      // a weight of 1
constexpr int kMostVocab = 1 << 21;  // whose weights' sum is below 2^63
constexpr int kDigitBits = 11;
constexpr int kBins = 1 << kDigitBits;
constexpr uint32_t kInfinityKey = 0xff800000u;

struct Shared {
  unsigned long long bins[kBins];
  unsigned long long sums[kWarps];
};

/// Rises with x; NaN is above all. -0 is 0.
__device__ __forceinline__ uint32_t rising_key(float x) {
  if (isnan(x)) return 0xffffffffu;
  const uint32_t bits = __float_as_uint(x + 0.0f);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

__device__ __forceinline__ float of_rising_key(uint32_t key) {
  return __uint_as_float((key & 0x80000000u) != 0 ? key & 0x7fffffffu : ~key);
}

__device__ __forceinline__ uint64_t inclusive_scan(uint64_t value, int lane) {
#pragma unroll
  for (int step = 1; step < kWarpLanes; step *= 2) {
    const uint64_t below = __shfl_up_sync(kAllLanes, value, step);
    if (lane >= step) value += below;
  }
  return value;
}

struct Found {
  int32_t index = 0;
  uint64_t before = 0;  // sum of the amounts before it
};

/// Of 32 amounts, one a lane, the first whose inclusive sum is above `target`.
__device__ __forceinline__ Found find_lane(uint64_t amount, uint64_t target, int lane) {
  const uint64_t sum = inclusive_scan(amount, lane);
  const unsigned above = __ballot_sync(kAllLanes, sum > target);
  const int found = above == 0 ? kWarpLanes - 1 : __ffs(static_cast<int>(above)) - 1;
  return {found, __shfl_sync(kAllLanes, sum - amount, found)};
}

/// The first of `count` indices at which the sum of amount(index) is above target_of(sum of all);
/// by a whole block. Each round cuts the range into a piece a warp.
template <class Amount, class TargetOf>
__device__ __forceinline__ Found
find(int32_t count, const Amount& amount, const TargetOf& target_of, unsigned long long* sums) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const int warp = static_cast<int>(threadIdx.x) / kWarpLanes;
  int32_t begin = 0;
  int32_t end = count;
  uint64_t before = 0;
  uint64_t target = 0;
  bool is_first = true;
  do {
    const int32_t step = (end - begin + kWarps - 1) / kWarps;
    const int32_t piece_end = min(begin + (warp + 1) * step, end);
    uint64_t sum = 0;
#pragma unroll 4
    for (int32_t i = begin + warp * step + lane; i < piece_end; i += kWarpLanes) sum += amount(i);
    sum = warp_sum(sum);
    __syncthreads();  // the last round's sums have been read
    if (lane == 0) sums[warp] = sum;
    __syncthreads();
    const uint64_t piece = sums[lane];
    if (is_first) target = target_of(warp_sum(piece));
    is_first = false;
    const Found found = find_lane(piece, target - before, lane);
    before += found.before;
    begin += found.index * step;
    end = min(begin + step, end);
  } while (end - begin > kWarpLanes);
  const Found found =
      find_lane(begin + lane < end ? amount(begin + lane) : 0, target - before, lane);
  return {begin + found.index, before + found.before};
}

struct Threshold {
  uint32_t key = 0xffffffffu;  // keys up to it stay
  uint64_t before = 0;         // sum of the amounts of lower keys
  uint64_t at = 0;             // of the key itself
};

/// Lowest keys first: the one at which the sum of their amounts reaches need_of(sum of all), which
/// is at least 1.
template <class Key, class Amount, class NeedOf>
__device__ __forceinline__ Threshold
select(int32_t count, const Key& key, const Amount& amount, const NeedOf& need_of, Shared& shared) {
  constexpr int kDigits = 3;
  uint64_t before = 0;
  uint64_t need = 0;
  uint32_t prefix = 0;
  uint64_t at = 0;
#pragma unroll 1
  for (int digit = 0; digit < kDigits; ++digit) {
    // 11, 11 and 10 bits.
    const int shift = max(32 - (digit + 1) * kDigitBits, 0);
    const int bits = digit + 1 < kDigits ? kDigitBits : 32 - 2 * kDigitBits;
    const uint32_t above = digit == 0 ? 0u : ~0u << (shift + bits);
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < kBins; i += kThreads) shared.bins[i] = 0;
    __syncthreads();
    for (int32_t i = static_cast<int32_t>(threadIdx.x); i < count; i += kThreads) {
      const uint32_t k = key(i);
      if ((k & above) != prefix) continue;
      const uint64_t add = amount(i);
      if (add != 0) atomicAdd(&shared.bins[k >> shift & ((1u << bits) - 1)], add);
    }
    __syncthreads();
    const Found bin = find(
        kBins,
        [&](int32_t i) { return static_cast<uint64_t>(shared.bins[i]); },
        [&](uint64_t total) {
          if (digit == 0) need = need_of(total);
          return need - before - 1;
        },
        shared.sums);
    before += bin.before;
    prefix |= static_cast<uint32_t>(bin.index) << shift;
    at = shared.bins[bin.index];
    if (before + at == need) return {prefix | ((1u << shift) - 1), before, at};
  }
  return {prefix, before, at};
}

/// What the filters leave of a row.
struct Kept {
  float best = 0.0f;
  float inverse_temperature = 1.0f;
  float least_logit = -INFINITY;         // top-k
  uint32_t last_distance = 0xffffffffu;  // top-p: the key of the furthest from the best
  int32_t last_token = 0x7fffffff;       // of those at that distance
  float least_weight = 0.0f;             // min-p

  __device__ __forceinline__ float distance(float logit) const {
    return (best - logit) * inverse_temperature;
  }
  __device__ __forceinline__ static uint32_t distance_key(float distance) {
    return __float_as_uint(distance);  // not negative: its bits rise with it
  }
  __device__ __forceinline__ static uint64_t fixed(float weight) {
    return __float2ull_rn(weight * kOne);
  }
  /// Under top-k alone.
  __device__ __forceinline__ uint64_t candidate(float logit) const {
    return logit >= least_logit ? fixed(expf(-distance(logit))) : 0;
  }
  /// Under all filters.
  __device__ __forceinline__ uint64_t weight(float logit, int32_t token) const {
    if (!(logit >= least_logit)) return 0;
    const float far = distance(logit);
    const uint32_t key = distance_key(far);
    if (key > last_distance || (key == last_distance && token > last_token)) return 0;
    const float weight = expf(-far);
    return weight < least_weight ? 0 : fixed(weight);
  }
};

/// The highest logit's rising key, and the lowest of its tokens.
__device__ __forceinline__ uint64_t best_of(const float* logits, int32_t vocab, Shared& shared) {
  uint64_t best = 0;
#pragma unroll 4
  for (int32_t i = static_cast<int32_t>(threadIdx.x); i < vocab; i += kThreads) {
    const uint64_t entry = static_cast<uint64_t>(rising_key(logits[i])) << 32 |
                           (0xffffffffu - static_cast<uint32_t>(i));
    best = max(best, entry);
  }
  const auto warp_best = [](uint64_t value) {
#pragma unroll
    for (int step = kWarpLanes / 2; step > 0; step /= 2) {
      value = max(value, __shfl_xor_sync(kAllLanes, value, step));
    }
    return value;
  };
  best = warp_best(best);
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  if (lane == 0) shared.sums[threadIdx.x / kWarpLanes] = best;
  __syncthreads();
  return warp_best(shared.sums[lane]);
}

__device__ __forceinline__ void keep_top_k(
    const float* logits, int32_t vocab, int32_t k, Kept& kept, Shared& shared) {
  const Threshold threshold = select(
      vocab,
      [&](int32_t i) { return ~rising_key(logits[i]); },
      [](int32_t) { return uint64_t{1}; },
      [k](uint64_t) { return static_cast<uint64_t>(k); },
      shared);
  kept.least_logit = of_rising_key(~threshold.key);
}

__device__ __forceinline__ void keep_top_p(
    const float* logits, int32_t vocab, float top_p, Kept& kept, Shared& shared) {
  const auto key = [&](int32_t i) { return Kept::distance_key(kept.distance(logits[i])); };
  uint64_t need = 0;
  const Threshold threshold = select(
      vocab,
      key,
      [&](int32_t i) { return kept.candidate(logits[i]); },
      [&](uint64_t total) {
        const double share = ceil(static_cast<double>(top_p) * static_cast<double>(total));
        need = min(max(static_cast<uint64_t>(share), uint64_t{1}), total);
        return need;
      },
      shared);
  kept.last_distance = threshold.key;
  if (threshold.before + threshold.at == need) return;
  // Of tokens that tie at the edge, the first ones.
  const uint64_t each = Kept::fixed(expf(-__uint_as_float(threshold.key)));
  const uint64_t ties = (need - threshold.before + each - 1) / each;
  const Found last = find(
      vocab,
      [&](int32_t i) {
        return uint64_t{logits[i] >= kept.least_logit && key(i) == threshold.key ? 1u : 0u};
      },
      [ties](uint64_t) { return ties - 1; },
      shared.sums);
  kept.last_token = last.index;
}

__global__ void __launch_bounds__(kThreads) sample_kernel(const SampleParams params) {
  __shared__ Shared shared;
  const float* logits = params.logits + static_cast<int64_t>(blockIdx.x) * params.vocab;
  const SamplingRow settings = params.settings[blockIdx.x];
  const uint64_t best = best_of(logits, params.vocab, shared);
  const auto best_key = static_cast<uint32_t>(best >> 32);
  auto token = static_cast<int32_t>(0xffffffffu - static_cast<uint32_t>(best));
  Kept kept{.best = of_rising_key(best_key)};
  if (best_key >= kInfinityKey || kept.best == -INFINITY) {
    token = -1;
  } else if (settings.temperature > 0.0f) {
    kept.inverse_temperature = 1.0f / settings.temperature;
    if (settings.top_k > 0 && settings.top_k < params.vocab) {
      keep_top_k(logits, params.vocab, settings.top_k, kept, shared);
    }
    if (settings.top_p < 1.0f) keep_top_p(logits, params.vocab, settings.top_p, kept, shared);
    kept.least_weight = settings.min_p;
    const uint64_t random = philox(settings.seed, settings.counter);
    token = find(
                params.vocab,
                [&](int32_t i) { return kept.weight(logits[i], i); },
                [random](uint64_t total) { return __umul64hi(random, total); },
                shared.sums)
                .index;
  }
  if (threadIdx.x != 0) return;
  params.tokens[blockIdx.x] = token;
  if (settings.temperature > 0.0f && token >= 0) ++params.settings[blockIdx.x].counter;
}

}  // namespace

int64_t sample_workspace_bytes(int32_t /*rows*/, int32_t /*vocab*/) { return 0; }

cudaError_t sample(const SampleParams& params, cudaStream_t stream) {
  if (params.vocab <= 0 || params.vocab > kMostVocab) return cudaErrorInvalidValue;
  if (params.rows == 0) return cudaSuccess;
  sample_kernel<<<static_cast<unsigned>(params.rows), kThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

}  // namespace dms::cuda
