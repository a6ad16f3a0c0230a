#pragma once
// What DeviceWeights consists of, as a list: so that its size is known before memory is taken, and
// loading and generating share one description of the shapes.

#include <cstdint>
#include <span>
#include <vector>

#include "cuda/weights.h"

namespace dms::cuda {

struct MatrixItem {
  MatrixView* view = nullptr;
  const kernels::PackedMatrix* source = nullptr;  // null: generated
};

struct VectorItem {
  const float** view = nullptr;
  std::span<const float> source{};  // empty: `count` times `value`
  int64_t count = 0;
  float value = 0.0f;
};

/// Views know shape and format already; what they point at is still to come.
struct WeightList {
  std::vector<MatrixItem> matrices;
  std::vector<VectorItem> vectors;
  std::vector<std::vector<float>> owned;  // sources that were put together
  bool shares_embedding = false;          // the head is the embedding
};

/// Lists `source` and shapes `weights` for it.
WeightList list_weights(const ModelSpec& spec,
                        const model::DecoderWeights& source,
                        MatrixFormat format,
                        DeviceWeights& weights);

/// The same for weights that are generated.
WeightList list_shapes(const ModelSpec& spec, MatrixFormat format, DeviceWeights& weights);

/// Bytes of all items, each from a multiple of 256 bytes on.
size_t total_bytes(const WeightList& list);

/// Points views into memory that begins at `base`.
void place(const WeightList& list, std::byte* base, DeviceWeights& weights);

}  // namespace dms::cuda
