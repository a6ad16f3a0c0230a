#pragma once
// What moves pages and tables about between steps: plain copies. All functions: asynchronous on
// `stream`, no allocation.

#include <cstddef>
#include <cstdint>

#include "cuda/kernels/cache_view.h"

namespace dms::cuda {

/// Copies page from_pages[i] of `from` to page to_pages[i] of `to`, each counted in kPageUnit.
struct CopyPagesParams {
  const std::byte* from = nullptr;
  const uint32_t* from_pages = nullptr;  // [pages]
  std::byte* to = nullptr;
  const uint32_t* to_pages = nullptr;  // [pages]
  int32_t pages = 0;
  int32_t bytes = 0;  // of a page
};

cudaError_t copy_pages(const CopyPagesParams& params, cudaStream_t stream);

/// Copies a table of words: to[row * to_stride + i] = from[row * from_stride + i].
struct CopyTableParams {
  const uint32_t* from = nullptr;
  int64_t from_stride = 0;
  uint32_t* to = nullptr;
  int64_t to_stride = 0;
  int32_t rows = 0;
  int32_t columns = 0;
};

cudaError_t copy_table(const CopyTableParams& params, cudaStream_t stream);

/// Forgets the fates of a slot's tokens [first, end), in all heads.
cudaError_t clear_fates(
    const CacheView& cache, int32_t slot, int32_t first, int32_t end, cudaStream_t stream);

/// The rows of the next step, one a sequence: what was chosen, one position further on.
struct AdvanceParams {
  const int32_t* chosen = nullptr;  // [rows]
  int32_t* tokens = nullptr;        // [rows]
  int32_t* positions = nullptr;     // [rows]
  int32_t* record = nullptr;        // [steps, rows]; row *step is written
  int32_t* step = nullptr;          // rises by one
  int32_t rows = 0;
};

cudaError_t advance_rows(const AdvanceParams& params, cudaStream_t stream);

}  // namespace dms::cuda
