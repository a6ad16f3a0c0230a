#pragma once
// Searches in a block's hands, for sampling: where the sum of whole-number amounts passes a target.
// Whole numbers, so that sums have the same bits in any order.

#include "cuda/kernels/reduce.cuh"

namespace dms::cuda {

struct Found {
  int32_t index = 0;
  uint64_t before = 0;  // sum of the amounts before it
  uint64_t target = 0;
};

inline constexpr int kDigitBits = 11;
inline constexpr int kBins = 1 << kDigitBits;

template <int kThreads>
struct SearchRoom {
  static constexpr int kWarps = kThreads / kWarpLanes;
  static_assert(kWarps <= kWarpLanes, "one warp looks at the sums of all");
  uint32_t low[kBins + 1];  // of a bin's amount; shared memory adds 32 bits at a time
  uint32_t high[kBins + 1];
  uint64_t sums[kWarps];
  Found found[2];  // of a round, of the end
};

/// The thread's lane or warp.
__device__ __forceinline__ int own_lane() { return static_cast<int>(threadIdx.x) % kWarpLanes; }
__device__ __forceinline__ int own_warp() { return static_cast<int>(threadIdx.x) / kWarpLanes; }

/// Of 32 amounts, one a lane, the first whose inclusive sum is above `target`.
__device__ __forceinline__ Found find_lane(uint64_t amount, uint64_t target) {
  const uint64_t sum = warp_scan(amount);
  const unsigned above = __ballot_sync(kAllLanes, sum > target);
  const int found = above == 0 ? kWarpLanes - 1 : __ffs(static_cast<int>(above)) - 1;
  return {found, __shfl_sync(kAllLanes, sum - amount, found), target};
}

inline constexpr int kQuad = 4;  // neighbours that a lane takes together: 16 bytes of logits

/// Amounts of kQuad indices, 0 beyond the last.
struct Amounts {
  uint64_t x[kQuad];

  __device__ __forceinline__ uint64_t sum() const { return (x[0] + x[1]) + (x[2] + x[3]); }
};

/// Of a warp's 32 kQuad amounts from `begin` on, the first whose inclusive sum is above `target`.
__device__ __forceinline__ Found find_in_warp(int32_t begin, const Amounts& own, uint64_t target) {
  const Found lane = find_lane(own.sum(), target);
  uint64_t sum = lane.before;
  int32_t at = kQuad - 1;
  uint64_t before = sum;
#pragma unroll
  for (int e = kQuad - 1; e >= 0; --e) {
    uint64_t below = sum;
#pragma unroll
    for (int lower = 0; lower < e; ++lower) below += own.x[lower];
    if (below + own.x[e] > target) at = e;
  }
#pragma unroll
  for (int e = 0; e < kQuad; ++e) before += e < at ? own.x[e] : 0;
  return {begin + lane.index * kQuad + __shfl_sync(kAllLanes, at, lane.index),
          __shfl_sync(kAllLanes, before, lane.index),
          target};
}

/// The first of `count` indices at which the sum of amounts is above target_of(sum of all); by a
/// whole block. amounts(index): of kQuad indices from `index` on. Each round cuts the range into a
/// piece a warp.
template <int kThreads, class AmountsOf, class TargetOf>
__device__ __forceinline__ Found find(int32_t count,
                                      const AmountsOf& amounts,
                                      const TargetOf& target_of,
                                      SearchRoom<kThreads>& room) {
  constexpr int kWarps = SearchRoom<kThreads>::kWarps;
  constexpr int32_t kWarpStep = kWarpLanes * kQuad;
  int32_t begin = 0;
  int32_t end = count;
  Found found;
  bool is_first = true;
  do {
    const int32_t step = (end - begin + kWarps * kWarpStep - 1) / (kWarps * kWarpStep) * kWarpStep;
    const int32_t piece_end = min(begin + (own_warp() + 1) * step, end);
    uint64_t sum = 0;
#pragma unroll 2
    for (int32_t i = begin + own_warp() * step + own_lane() * kQuad; i < piece_end;
         i += kWarpStep) {
      sum += amounts(i).sum();
    }
    sum = warp_sum_u64(sum);
    if (own_lane() == 0) room.sums[own_warp()] = sum;
    __syncthreads();
    if (own_warp() == 0) {
      const uint64_t piece = own_lane() < kWarps ? room.sums[own_lane()] : 0;
      if (is_first) found.target = target_of(warp_sum_u64(piece));
      const Found next = find_lane(piece, found.target - found.before);
      if (own_lane() == 0) {
        room.found[0] = {min(next.index, kWarps - 1), found.before + next.before, found.target};
      }
    }
    __syncthreads();
    found = room.found[0];
    is_first = false;
    begin += found.index * step;
    end = min(begin + step, end);
  } while (end - begin > kWarpStep);
  if (own_warp() == 0) {
    const int32_t i = begin + own_lane() * kQuad;
    const Amounts own = i < end ? amounts(i) : Amounts{};
    const Found last = find_in_warp(begin, own, found.target - found.before);
    if (own_lane() == 0) {
      room.found[1] = {last.index, found.before + last.before, found.target};
    }
  }
  __syncthreads();
  return room.found[1];
}

/// Keys of kQuad indices, and amounts: 0 for what does not count.
struct Entries {
  uint32_t keys[kQuad];
  Amounts amounts;
};

/// Where keys reach a sum of amounts.
struct Threshold {
  uint32_t key = 0xffffffffu;  // keys up to it stay
  uint64_t missing = 0;        // of the key itself: how much of its amount is needed
  bool is_whole = true;        // all of it
};

template <int kThreads>
__device__ __forceinline__ void add_to_bin(SearchRoom<kThreads>& room,
                                           uint32_t bin,
                                           uint64_t amount) {
  const auto low = static_cast<uint32_t>(amount);
  const uint32_t before = atomicAdd(&room.low[bin], low);
  const uint32_t high = static_cast<uint32_t>(amount >> 32) + (before + low < before ? 1u : 0u);
  if (high != 0) atomicAdd(&room.high[bin], high);
}

/// Lowest keys first: the one at which the sum of their amounts reaches need_of(sum of all), which
/// is at least 1. Digit by digit, from the highest; entries(index): of kQuad indices from `index`
/// on. Keys whose highest digit is above `near_digit` are at first one bin, added up in registers:
/// a vocabulary's bulk, in few bins, would make the additions to shared memory wait for each other.
template <int kThreads, class EntriesOf, class NeedOf>
__device__ __forceinline__ Threshold find_key(int32_t count,
                                              const EntriesOf& entries,
                                              const NeedOf& need_of,
                                              uint32_t near_digit,
                                              SearchRoom<kThreads>& room) {
  constexpr int kDigits = 3;  // of 11, 11 and 10 bits
  constexpr uint32_t kFar = kBins;
  uint64_t before = 0;
  uint64_t need = 0;
  uint32_t prefix = 0;
  const auto in_bin = [&](int32_t bin) {
    return (static_cast<uint64_t>(room.high[bin]) << 32) + room.low[bin];
  };
  int digit = 0;
#pragma unroll 1
  while (digit < kDigits) {
    const bool is_first = digit == 0;
    const int shift = max(32 - (digit + 1) * kDigitBits, 0);
    const int bits = digit + 1 < kDigits ? kDigitBits : 32 - 2 * kDigitBits;
    const uint32_t above = is_first ? 0u : ~0u << (shift + bits);
    __syncthreads();  // the last digit's bins have been read
    for (int i = static_cast<int>(threadIdx.x); i <= kBins; i += kThreads) {
      room.low[i] = 0;
      room.high[i] = 0;
    }
    __syncthreads();
    uint64_t far = 0;
#pragma unroll 2
    for (int32_t i = static_cast<int32_t>(threadIdx.x) * kQuad; i < count; i += kThreads * kQuad) {
      const Entries some = entries(i);
#pragma unroll
      for (int e = 0; e < kQuad; ++e) {
        const uint64_t add = some.amounts.x[e];
        if ((some.keys[e] & above) != prefix || add == 0) continue;
        const uint32_t bin = some.keys[e] >> shift & ((1u << bits) - 1);
        if (is_first && bin > near_digit) {
          far += add;
        } else {
          add_to_bin(room, bin, add);
        }
      }
    }
    if (is_first) {
      far = warp_sum_u64(far);
      if (own_lane() == 0 && far != 0) add_to_bin(room, kFar, far);
    }
    __syncthreads();
    const Found bin = find<kThreads>(
        kBins + 1,
        [&](int32_t i) {
          Amounts some{};
#pragma unroll
          for (int e = 0; e < kQuad; ++e) {
            if (i + e <= kBins) some.x[e] = in_bin(i + e);
          }
          return some;
        },
        [&](uint64_t total) { return (is_first ? need_of(total) : need) - before - 1; },
        room);
    if (is_first) need = bin.target + 1;
    if (bin.index == static_cast<int32_t>(kFar)) {
      near_digit = kFar;
      continue;
    }
    before += bin.before;
    prefix |= static_cast<uint32_t>(bin.index) << shift;
    const uint64_t at = in_bin(bin.index);
    if (before + at == need) return {prefix | ((1u << shift) - 1), at, true};
    ++digit;
  }
  return {prefix, need - before, false};
}

/// A key's highest digit.
__device__ __forceinline__ uint32_t highest_digit(uint32_t key) { return key >> (32 - kDigitBits); }

}  // namespace dms::cuda
