// A warp finishes one head of one row: four channels a lane. Sums, norm and rotation are rounded as
// the CPU's kernels round them (kernels/cpu/generic/rows.cpp), so that equal products give equal
// decisions, keys and queries.

#include "cuda/kernels/fates.cuh"
#include "cuda/kernels/ptx.cuh"
#include "cuda/kernels/qkv.h"
#include "cuda/kernels/reduce.cuh"

namespace dms::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kBlocks = 16;  // that a multiprocessor of sm_80 or sm_90 holds: all its threads
constexpr int kLaneChannels = 4;
constexpr int kMostChannels = kWarpLanes * kLaneChannels;

/// Channels kLaneChannels * lane and on; zeros beyond the head.
struct Channels {
  float x[kLaneChannels];
};

__device__ __forceinline__ Channels load_channels(const float* from) {
  const float4 x = *reinterpret_cast<const float4*>(from);
  return {{x.x, x.y, x.z, x.w}};
}

__device__ __forceinline__ void store_channels(float* to, const Channels& channels) {
  *reinterpret_cast<float4*>(to) = {channels.x[0], channels.x[1], channels.x[2], channels.x[3]};
}

__device__ __forceinline__ void store_channels(__nv_bfloat16* to, const Channels& channels) {
  *reinterpret_cast<uint2*>(to) = {pack_bf16(channels.x[0], channels.x[1]),
                                   pack_bf16(channels.x[2], channels.x[3])};
}

/// One head of one row in the hands of a warp.
struct HeadTask {
  int32_t row = 0;
  int32_t head = 0;  // of the row of q_heads + 2 kv_heads
  int32_t lane = 0;
  bool is_in_head = false;  // the lane has channels
  float* stage = nullptr;   // [kMostChannels] in shared memory, for the warp alone

  __device__ __forceinline__ int first_channel() const { return lane * kLaneChannels; }
};

/// The sum of squares in the order of kernels::rms_norm(): 32 chains, then pairs.
__device__ __forceinline__ float sum_of_squares(const HeadTask& task, const Channels& channels) {
  store_channels(task.stage + task.first_channel(), channels);
  __syncwarp();
  float sum = 0.0f;
#pragma unroll
  for (int c = 0; c < kMostChannels; c += kWarpLanes) {
    const float x = task.stage[c + task.lane];
    sum = __fadd_rn(sum, __fmul_rn(x, x));
  }
  __syncwarp();
  return warp_sum(sum);
}

__device__ __forceinline__ void norm_head(const QkvParams& params,
                                          const HeadTask& task,
                                          const float* weight,
                                          Channels& channels) {
  const float squares = sum_of_squares(task, channels);
  const float mean = squares / static_cast<float>(params.cache.head_dim);
  const float factor = __frcp_rn(__fsqrt_rn(__fadd_rn(mean, params.norm_eps)));
  if (!task.is_in_head) return;
  const Channels scale = load_channels(weight + task.first_channel());
#pragma unroll
  for (int e = 0; e < kLaneChannels; ++e) {
    channels.x[e] = __fmul_rn(__fmul_rn(channels.x[e], factor), scale.x[e]);
  }
}

/// One channel's turn by `angle` (cos, sin) with the channel half a rotation away.
__device__ __forceinline__ float turned(float x, float partner, float2 angle, bool is_low) {
  const float part = __fmul_rn(partner, angle.y);
  return __fadd_rn(__fmul_rn(x, angle.x), is_low ? -part : part);
}

/// The same for a lane's channels, where all of them are on one side.
__device__ __forceinline__ void turn_together(
    const float* stage, const float2* angles, int half, int first, Channels& channels) {
  const bool is_low = first < half;
  const Channels partners = load_channels(stage + (is_low ? first + half : first - half));
  const auto* from = reinterpret_cast<const float4*>(angles + (is_low ? first : first - half));
  const float4 low = from[0];
  const float4 high = from[1];
  const float2 angle[kLaneChannels] = {
      {low.x, low.y}, {low.z, low.w}, {high.x, high.y}, {high.z, high.w}};
#pragma unroll
  for (int e = 0; e < kLaneChannels; ++e) {
    channels.x[e] = turned(channels.x[e], partners.x[e], angle[e], is_low);
  }
}

/// "Rotate half": channel c turns with channel c + rotary_dim / 2.
__device__ __forceinline__ void rotate(const QkvParams& params,
                                       const HeadTask& task,
                                       Channels& channels) {
  const int half = params.rotary_dim / 2;
  const float2* angles =
      params.angles + static_cast<int64_t>(params.rows.positions[task.row]) * half;
  const int first = task.first_channel();
  store_channels(task.stage + first, channels);
  __syncwarp();
  if (half % kLaneChannels == 0) {
    if (first < 2 * half) turn_together(task.stage, angles, half, first, channels);
    return;
  }
#pragma unroll
  for (int e = 0; e < kLaneChannels; ++e) {
    const int c = first + e;
    if (c >= 2 * half) continue;
    const bool is_low = c < half;
    channels.x[e] = turned(channels.x[e],
                           task.stage[is_low ? c + half : c - half],
                           angles[is_low ? c : c - half],
                           is_low);
  }
}

/// Sets the bits of the token that the row decides about, for KV head `head` or, where its decision
/// is the layer's, for all. By one lane.
__device__ __forceinline__ void settle_fate(const QkvParams& params,
                                            int32_t row,
                                            int32_t head,
                                            float logit) {
  const FateParams& fate = params.fate;
  const CacheView& cache = params.cache;
  const int32_t slot = params.rows.slots[row];
  const int32_t token = params.rows.positions[row] - fate.shift;
  if (token < 0 || token < fate.sinks || token < params.slots.replay_end[slot]) return;
  if (!is_evicted(fate, params.layer * cache.kv_heads + head, token, logit)) return;
  const int32_t last = fate.per_layer ? cache.kv_heads - 1 : head;
  for (int32_t k = head; k <= last; ++k) {
    uint32_t* words = cache.fates + head_index(cache, slot, params.layer, k) * cache.fate_words;
    atomicOr(words + token / 32, 1u << (token % 32));
  }
}

__device__ __forceinline__ bool decides(const QkvParams& params, int32_t kv_head) {
  return params.fate.rule != FateRule::keep && (!params.fate.per_layer || kv_head == 0);
}

__device__ __forceinline__ bool has_neuron_rule(const QkvParams& params) {
  return params.neuron && params.fate.rule == FateRule::logit;
}

/// A head's channels with their bias, or with the exact logit in the borrowed one.
__device__ __forceinline__ Channels first_channels(const QkvParams& params, const HeadTask& task) {
  Channels channels{};
  if (!task.is_in_head) return channels;
  const int heads = params.q_heads + 2 * params.cache.kv_heads;
  const int at = task.head * params.cache.head_dim + task.first_channel();
  channels = load_channels(params.qkv +
                           static_cast<int64_t>(task.row) * heads * params.cache.head_dim + at);
  if (params.bias != nullptr) {
    const Channels bias = load_channels(params.bias + at);
#pragma unroll
    for (int e = 0; e < kLaneChannels; ++e) channels.x[e] = __fadd_rn(channels.x[e], bias.x[e]);
  }
  return channels;
}

__device__ __forceinline__ void finish_query(const QkvParams& params, const HeadTask& task) {
  const CacheView& cache = params.cache;
  Channels channels = first_channels(params, task);
  const int group = params.q_heads / cache.kv_heads;
  const int kv_head = task.head / group;
  const bool has_borrowed = params.neuron && task.head % group == 0;
  const bool is_borrowed = has_borrowed && task.first_channel() + kLaneChannels == cache.head_dim;
  float& borrowed = channels.x[kLaneChannels - 1];
  if (is_borrowed && params.neuron_logits != nullptr) {
    borrowed = params.neuron_logits[static_cast<int64_t>(task.row) * cache.kv_heads + kv_head];
  }
  if (params.q_norm != nullptr) norm_head(params, task, params.q_norm, channels);
  if (is_borrowed) {
    if (has_neuron_rule(params) && decides(params, kv_head)) {
      const float logit = __fsub_rn(__fmul_rn(borrowed, params.alpha_scale), params.alpha_offset);
      settle_fate(params, task.row, kv_head, logit);
    }
    borrowed = 0.0f;
  }
  if (params.angles != nullptr) rotate(params, task, channels);
  if (is_borrowed && params.zero_after_rope) borrowed = 0.0f;
  if (!task.is_in_head) return;
#pragma unroll
  for (float& x : channels.x) x *= params.query_scale;
  store_channels(
      params.queries +
          (static_cast<int64_t>(task.row) * params.q_heads + task.head) * cache.head_dim +
          task.first_channel(),
      channels);
}

/// Where the row's key or value of a head goes.
__device__ __forceinline__ __nv_bfloat16* place_of(const QkvParams& params,
                                                   int32_t row,
                                                   int32_t kv_head,
                                                   bool is_value) {
  const CacheView& cache = params.cache;
  if (row >= params.rows.decode_rows) {
    __nv_bfloat16* chunk = is_value ? params.chunk_values : params.chunk_keys;
    const int64_t token = row - params.rows.decode_rows;
    return chunk + (token * cache.kv_heads + kv_head) * cache.head_dim;
  }
  const int32_t position = params.rows.positions[row];
  const int64_t head = head_index(cache, params.rows.slots[row], params.layer, kv_head);
  const uint32_t page =
      cache.window_table[head * cache.ring_pages + position / kPageTokens % cache.ring_pages];
  std::byte* side = cache.arena + static_cast<int64_t>(page) * kPageUnit +
                    (is_value ? side_bytes(KvFormat::bf16, cache.head_dim) : 0);
  return reinterpret_cast<__nv_bfloat16*>(side) + position % kPageTokens * cache.head_dim;
}

__device__ __forceinline__ void finish_key(const QkvParams& params,
                                           const HeadTask& task,
                                           int32_t kv_head) {
  Channels channels = first_channels(params, task);
  if (params.k_norm != nullptr) norm_head(params, task, params.k_norm, channels);
  if (params.angles != nullptr) rotate(params, task, channels);
  if (task.lane == 0 && !has_neuron_rule(params) && decides(params, kv_head)) {
    const float logit =
        params.fate.logits == nullptr
            ? 0.0f
            : params.fate.logits[static_cast<int64_t>(task.row) * params.cache.kv_heads + kv_head];
    settle_fate(params, task.row, kv_head, logit);
  }
  if (!task.is_in_head) return;
  store_channels(place_of(params, task.row, kv_head, false) + task.first_channel(), channels);
}

__global__ void __launch_bounds__(kWarps* kWarpLanes, kBlocks)
    finish_kernel(const QkvParams params) {
  __shared__ __align__(16) float stages[kWarps][kMostChannels];
  const int warp = static_cast<int>(threadIdx.x) / kWarpLanes;
  const int heads = params.q_heads + 2 * params.cache.kv_heads;
  const int index = static_cast<int>(blockIdx.x) * kWarps + warp;
  if (index >= params.rows.rows * heads) return;
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const HeadTask task{.row = index / heads,
                      .head = index % heads,
                      .lane = lane,
                      .is_in_head = lane * kLaneChannels < params.cache.head_dim,
                      .stage = stages[warp]};
  if (task.head < params.q_heads) {
    finish_query(params, task);
    return;
  }
  const int kv_head = task.head - params.q_heads;
  if (kv_head < params.cache.kv_heads) {
    finish_key(params, task, kv_head);
    return;
  }
  const Channels channels = first_channels(params, task);
  if (!task.is_in_head) return;
  store_channels(
      place_of(params, task.row, kv_head - params.cache.kv_heads, true) + task.first_channel(),
      channels);
}

}  // namespace

cudaError_t finish_qkv(const QkvParams& params, cudaStream_t stream) {
  const CacheView& cache = params.cache;
  if (cache.head_dim % kLaneChannels != 0 || cache.head_dim > kMostChannels ||
      params.rotary_dim % 2 != 0 || params.rotary_dim > cache.head_dim ||
      params.q_heads % cache.kv_heads != 0) {
    return cudaErrorInvalidValue;
  }
  if (params.rows.rows == 0) return cudaSuccess;
  const int tasks = params.rows.rows * (params.q_heads + 2 * cache.kv_heads);
  finish_kernel<<<static_cast<unsigned>((tasks + kWarps - 1) / kWarps),
                  kWarps * kWarpLanes,
                  0,
                  stream>>>(params);
  return cudaGetLastError();
}

}  // namespace dms::cuda
