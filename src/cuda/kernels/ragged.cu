// Ragged rows: a first kernel reads the masks, which are little, and lists the rows that they keep;
// then blocks copy rows by output, so that writes are dense and long lists are shared by many.

#include "cuda/kernels/ragged.h"
#include "cuda/kernels/reduce.cuh"

namespace dms::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kBlockRows = 64;   // that a block copies
constexpr int kThreadMarks = 8;  // of a mask, that a thread reads at a time

/// Where the rows that a mask keeps come from.
struct KeptRows {
  int64_t* counts = nullptr;   // [lists]
  int32_t* sources = nullptr;  // [lists, rows], the first counts[list] set
};

KeptRows kept_rows(const RaggedRowsView& x, void* workspace) {
  auto* counts = static_cast<int64_t*>(workspace);
  return {counts, reinterpret_cast<int32_t*>(counts + x.lists)};
}

/// One block a list.
__global__ void __launch_bounds__(kThreads)
    list_kept_kernel(const uint8_t* mask, int64_t rows, const KeptRows kept) {
  __shared__ int32_t sums[kThreads / kWarpLanes];
  const int64_t list = blockIdx.x;
  const uint8_t* marks = mask + list * rows;
  int32_t* sources = kept.sources + list * rows;
  int64_t count = 0;
  for (int64_t begin = 0; begin < rows; begin += kThreads * kThreadMarks) {
    const int64_t first = begin + static_cast<int64_t>(threadIdx.x) * kThreadMarks;
    uint32_t bits = 0;
#pragma unroll
    for (int i = 0; i < kThreadMarks; ++i) {
      if (first + i < rows && marks[first + i] != 0) bits |= 1u << i;
    }
    int32_t total = 0;
    int64_t place = count + block_scan<kThreads>(__popc(bits), sums, total);
#pragma unroll
    for (int i = 0; i < kThreadMarks; ++i) {
      if ((bits >> i & 1) != 0) sources[place++] = static_cast<int32_t>(first + i);
    }
    count += total;
  }
  if (threadIdx.x == 0) kept.counts[list] = count;
}

/// One block.
__global__ void __launch_bounds__(kThreads)
    list_begins_kernel(const int64_t* counts, int64_t lists, int64_t* begins) {
  __shared__ int32_t sums[kThreads / kWarpLanes];
  int64_t all = 0;
  for (int64_t first = 0; first < lists; first += kThreads) {
    const int64_t list = first + threadIdx.x;
    int32_t total = 0;
    const int32_t here = list < lists ? static_cast<int32_t>(counts[list]) : 0;
    const int32_t before = block_scan<kThreads>(here, sums, total);
    if (list < lists) begins[list] = all + before;
    all += total;
  }
  if (threadIdx.x == 0) begins[lists] = all;
}

/// What becomes of one row, in rows of the whole arrays.
struct RowMove {
  int64_t from;  // -1: zeros
  int64_t to;    // -1: nothing is written
};

__device__ __forceinline__ int64_t length_within(int64_t length, int64_t most, int32_t* wrong) {
  if (length >= 0 && length <= most) return length;
  *wrong = 1;
  return 0;
}

struct LeftPadRule {
  LeftPadParams p{};

  __device__ __forceinline__ RowMove operator()(int64_t list, int64_t row) const {
    const int64_t length = length_within(p.lengths[list], min(p.x.rows, p.width), p.wrong);
    const int64_t from = row - (p.width - length);
    return {from < 0 ? -1 : list * p.x.rows + from, list * p.width + row};
  }
};

struct ScatterRule {
  ScatterParams p{};

  __device__ __forceinline__ RowMove operator()(int64_t, int64_t row) const {
    const int64_t to = p.index[row];
    if (to >= 0 && to < p.out_rows) return {row, to};
    *p.wrong = 1;
    return {row, -1};
  }
};

struct BoolGatherRule {
  BoolGatherParams p{};
  KeptRows kept{};

  __device__ __forceinline__ RowMove operator()(int64_t list, int64_t row) const {
    const int64_t count = length_within(kept.counts[list], p.width, p.wrong);
    const int64_t place = row - (p.width - count);
    const int64_t first = list * p.x.rows;
    return {place < 0 ? -1 : first + kept.sources[first + place], list * p.width + row};
  }
};

struct CompactRule {
  CompactParams p{};
  KeptRows kept{};

  __device__ __forceinline__ RowMove operator()(int64_t list, int64_t row) const {
    if (row >= kept.counts[list]) return {-1, -1};
    const int64_t first = list * p.x.rows;
    return {first + kept.sources[first + row], p.begins[list] + row};
  }
};

template <class Vector, class Rule>
__global__ void __launch_bounds__(kThreads) copy_rows_kernel(
    const std::byte* in, std::byte* out, int64_t rows, int64_t row_bytes, const Rule rule) {
  const int64_t chunks = (rows + kBlockRows - 1) / kBlockRows;
  const int64_t list = blockIdx.x / chunks;
  const int64_t first = blockIdx.x % chunks * kBlockRows;
  const auto own_rows = static_cast<uint32_t>(min(rows - first, static_cast<int64_t>(kBlockRows)));
  const auto vectors = static_cast<uint32_t>(row_bytes / static_cast<int64_t>(sizeof(Vector)));
  for (uint32_t v = threadIdx.x; v < own_rows * vectors; v += kThreads) {
    const RowMove move = rule(list, first + v / vectors);
    if (move.to < 0) continue;
    const uint32_t vector = v % vectors;
    Vector value{};
    if (move.from >= 0) {
      value = reinterpret_cast<const Vector*>(in + move.from * row_bytes)[vector];
    }
    reinterpret_cast<Vector*>(out + move.to * row_bytes)[vector] = value;
  }
}

/// Lets blocks go through `rows` rows of each list.
template <class Rule>
cudaError_t copy_rows(
    const RaggedRowsView& x, std::byte* out, int64_t rows, const Rule& rule, cudaStream_t stream) {
  const int64_t blocks = x.lists * ((rows + kBlockRows - 1) / kBlockRows);
  if (blocks > INT32_MAX || x.row_bytes > INT32_MAX / kBlockRows) return cudaErrorInvalidValue;
  if (blocks == 0 || x.row_bytes == 0) return cudaSuccess;
  const auto grid = static_cast<unsigned>(blocks);
  const uintptr_t bits = reinterpret_cast<uintptr_t>(x.data) | reinterpret_cast<uintptr_t>(out) |
                         static_cast<uintptr_t>(x.row_bytes);
  if (bits % sizeof(uint4) == 0) {
    copy_rows_kernel<uint4><<<grid, kThreads, 0, stream>>>(x.data, out, rows, x.row_bytes, rule);
  } else if (bits % sizeof(uint32_t) == 0) {
    copy_rows_kernel<uint32_t><<<grid, kThreads, 0, stream>>>(x.data, out, rows, x.row_bytes, rule);
  } else {
    copy_rows_kernel<uint8_t><<<grid, kThreads, 0, stream>>>(x.data, out, rows, x.row_bytes, rule);
  }
  return cudaGetLastError();
}

bool fits(const RaggedRowsView& x) {
  return x.lists >= 0 && x.lists <= INT32_MAX && x.rows >= 0 && x.rows <= INT32_MAX &&
         x.row_bytes >= 0;
}

cudaError_t list_kept(const RaggedRowsView& x,
                      const uint8_t* mask,
                      const KeptRows& kept,
                      cudaStream_t stream) {
  if (x.lists == 0) return cudaSuccess;
  list_kept_kernel<<<static_cast<unsigned>(x.lists), kThreads, 0, stream>>>(mask, x.rows, kept);
  return cudaGetLastError();
}

}  // namespace

int64_t ragged_workspace_bytes(const RaggedRowsView& x) {
  return x.lists *
         (static_cast<int64_t>(sizeof(int64_t)) + x.rows * static_cast<int64_t>(sizeof(int32_t)));
}

cudaError_t left_pad_2d(const LeftPadParams& params, cudaStream_t stream) {
  if (!fits(params.x) || params.width < 0) return cudaErrorInvalidValue;
  return copy_rows(params.x, params.out, params.width, LeftPadRule{params}, stream);
}

cudaError_t scatter_by_index(const ScatterParams& params, cudaStream_t stream) {
  if (!fits(params.x) || params.x.lists != 1) return cudaErrorInvalidValue;
  return copy_rows(params.x, params.out, params.x.rows, ScatterRule{params}, stream);
}

cudaError_t bool_gather_left_pad(const BoolGatherParams& params, cudaStream_t stream) {
  if (!fits(params.x) || params.width < 0) return cudaErrorInvalidValue;
  const KeptRows kept = kept_rows(params.x, params.workspace);
  if (const cudaError_t error = list_kept(params.x, params.mask, kept, stream);
      error != cudaSuccess) {
    return error;
  }
  return copy_rows(params.x, params.out, params.width, BoolGatherRule{params, kept}, stream);
}

cudaError_t compact_by_bool(const CompactParams& params, cudaStream_t stream) {
  if (!fits(params.x)) return cudaErrorInvalidValue;
  const KeptRows kept = kept_rows(params.x, params.workspace);
  if (const cudaError_t error = list_kept(params.x, params.mask, kept, stream);
      error != cudaSuccess) {
    return error;
  }
  list_begins_kernel<<<1, kThreads, 0, stream>>>(kept.counts, params.x.lists, params.begins);
  if (const cudaError_t error = cudaGetLastError(); error != cudaSuccess) return error;
  return copy_rows(params.x, params.out, params.x.rows, CompactRule{params, kept}, stream);
}

}  // namespace dms::cuda
