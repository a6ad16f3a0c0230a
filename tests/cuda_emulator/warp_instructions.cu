// What lanes and threads of a block do together.

#include <cooperative_groups.h>

#include "probe.h"

namespace cuda_emulator {
namespace {

using u32 = uint32_t;
namespace cg = cooperative_groups;

constexpr int kLanes = 32;

/// Runs a kernel of one block on the values [lane] and compares with `expected`.
std::string check(void (*kernel)(const int*, int*),
                  int threads,
                  const std::vector<int>& values,
                  const std::vector<int>& expected) {
  int* const in = to_device(values);
  int* const out = to_device(std::vector<int>(expected.size()));
  kernel<<<1, threads>>>(in, out);
  if (const cudaError_t error = cudaGetLastError()) return cudaGetErrorString(error);
  std::vector<int> got(expected.size());
  cudaMemcpy(got.data(), out, got.size() * sizeof(int), cudaMemcpyDeviceToHost);
  cudaFree(in);
  cudaFree(out);
  for (size_t i = 0; i < got.size(); i++) {
    if (got[i] != expected[i]) {
      return "element " + text(i) + ": got " + text(got[i]) + ", expected " + text(expected[i]);
    }
  }
  return "";
}

std::vector<int> lanes_values() { return samples<int>(kLanes, 5); }

template <class F>
std::vector<int> for_each_lane(F function) {
  std::vector<int> result;
  for (int lane = 0; lane < kLanes; lane++) result.push_back(function(lane));
  return result;
}

__global__ void shuffles(const int* in, int* out) {
  const int value = in[threadIdx.x];
  const int up = __shfl_up_sync(~0u, value, 3), down = __shfl_down_sync(~0u, value, 2, 16);
  const int butterfly = __shfl_xor_sync(~0u, value, 5);
  const int indexed = __shfl_sync(~0u, value, static_cast<int>(threadIdx.x) * 7, 8);
  out[threadIdx.x] =
      static_cast<int>(static_cast<u32>(up) + 3u * static_cast<u32>(down) +
                       5u * static_cast<u32>(butterfly) + 7u * static_cast<u32>(indexed));
}
std::string run_shuffles() {
  const std::vector<int> v = lanes_values();
  const auto at = [&](int lane) { return static_cast<u32>(v[static_cast<size_t>(lane)]); };
  return check(shuffles, kLanes, v, for_each_lane([&](int lane) {
                 const int down = lane % 16 + 2 < 16 ? lane + 2 : lane;
                 return static_cast<int>(at(lane >= 3 ? lane - 3 : lane) + 3u * at(down) +
                                         5u * at(lane ^ 5) + 7u * at(lane / 8 * 8 + lane * 7 % 8));
               }));
}

__global__ void votes(const int* in, int* out) {
  const int value = in[threadIdx.x];
  const u32 ballot = __ballot_sync(~0u, value & 1);
  const u32 any = __match_any_sync(~0u, value & 3);
  int is_same = 0;
  const u32 all = __match_all_sync(~0u, value & 0, &is_same);
  out[threadIdx.x] = static_cast<int>(ballot ^ any * 3 ^ all) + is_same +
                     2 * __any_sync(~0u, value == 1) + 4 * __all_sync(~0u, value != 12345);
}
std::string run_votes() {
  const std::vector<int> v = lanes_values();
  return check(votes, kLanes, v, for_each_lane([&](int lane) {
                 u32 ballot = 0, match = 0, one = 0;
                 for (u32 j = 0; j < kLanes; j++) {
                   ballot |= static_cast<u32>(v[j] & 1) << j;
                   match |= static_cast<u32>((v[j] & 3) == (v[static_cast<size_t>(lane)] & 3)) << j;
                   one |= v[j] == 1;
                 }
                 return static_cast<int>(ballot ^ match * 3 ^ ~0u) + 1 + 2 * static_cast<int>(one) +
                        4;
               }));
}

__global__ void reductions(const int* in, int* out) {
  const int value = in[threadIdx.x];
  const u32 bits = static_cast<u32>(value);
  out[0] = static_cast<int>(__reduce_add_sync(~0u, bits));
  out[1] = __reduce_min_sync(~0u, value);
  out[2] = __reduce_max_sync(~0u, value);
  out[3] = static_cast<int>(__reduce_max_sync(~0u, bits));
  out[4] = static_cast<int>(__reduce_or_sync(~0u, bits & 0xff00));
  out[5] = static_cast<int>(__reduce_and_sync(~0u, bits | 0xffff));
  out[6] = static_cast<int>(__reduce_xor_sync(~0u, bits));
}
std::string run_reductions() {
  const std::vector<int> v = lanes_values();
  u32 sum = 0, largest = 0, any = 0, all = ~0u, odd = 0;
  int least = v[0], most = v[0];
  for (const int value : v) {
    const u32 bits = static_cast<u32>(value);
    sum += bits;
    largest = bits > largest ? bits : largest;
    any |= bits & 0xff00;
    all &= bits | 0xffff;
    odd ^= bits;
    least = value < least ? value : least;
    most = value > most ? value : most;
  }
  const auto word = [](u32 bits) { return static_cast<int>(bits); };
  return check(reductions,
               kLanes,
               v,
               {word(sum), least, most, word(largest), word(any), word(all), word(odd)});
}

__global__ void block_votes(const int* in, int* out) {
  const bool is_odd = in[threadIdx.x % kLanes] & 1;
  const int count = __syncthreads_count(is_odd);
  const int some = __syncthreads_or(threadIdx.x == 77), all = __syncthreads_and(threadIdx.x != 77);
  out[threadIdx.x] = count * 4 + (some != 0) * 2 + (all != 0);
}
std::string run_block_votes() {
  int odd = 0;
  for (const int value : lanes_values()) odd += value & 1;
  return check(block_votes, 96, lanes_values(), std::vector<int>(96, odd * 3 * 4 + 2));
}

/// Half of the lanes reduce among themselves; the other half runs a loop meanwhile.
__global__ void divergent(const int* in, int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  int value = in[lane] & 0xff;
  if (lane < 16) {
    for (int offset = 8; offset > 0; offset /= 2) value += __shfl_xor_sync(0xffffu, value, offset);
  } else {
    for (int i = 0; i < lane; i++) value = value * 5 % 251;
    __syncwarp(0xffff0000u);
  }
  __syncwarp();
  out[lane] = value;
}
std::string run_divergent() {
  const std::vector<int> v = lanes_values();
  int sum = 0;
  for (size_t i = 0; i < 16; i++) sum += v[i] & 0xff;
  return check(divergent, kLanes, v, for_each_lane([&](int lane) {
                 int value = v[static_cast<size_t>(lane)] & 0xff;
                 for (int i = 0; lane >= 16 && i < lane; i++) value = value * 5 % 251;
                 return lane < 16 ? sum : value;
               }));
}

__global__ void groups(const int* in, int* out) {
  const auto tile = cg::tiled_partition<8>(cg::this_thread_block());
  int value = in[threadIdx.x] & 0xffff;
  for (int offset = 4; offset > 0; offset /= 2) value += tile.shfl_down(value, offset);
  if (tile.thread_rank() == 0) out[tile.meta_group_rank()] = value;
}
std::string run_groups() {
  std::vector<int> expected(4);
  for (size_t i = 0; i < kLanes; i++) expected[i / 8] += lanes_values()[i] & 0xffff;
  return check(groups, kLanes, lanes_values(), expected);
}

}  // namespace

std::vector<ProbeCase> warp_cases() {
  return {{"Shuffles", run_shuffles},
          {"Votes", run_votes},
          {"Reductions", run_reductions},
          {"BlockVotes", run_block_votes},
          {"Divergent", run_divergent},
          {"Groups", run_groups}};
}

}  // namespace cuda_emulator
