#pragma once
// What a layer's output projection makes of single values: how much an entry can move the residual.

#include <cstdint>
#include <span>
#include <vector>

#include "cache/view.h"
#include "kernels/packed_matrix.h"
#include "model/spec/model_spec.h"

namespace dms::model {

class OutputOfValues final : public cache::ValueProjection {
 public:
  /// `matrix`: [hidden, q_heads * head_dim]; both outlive this.
  OutputOfValues(const ModelSpec& spec, const kernels::PackedMatrix& matrix)
      : spec_(spec), matrix_(matrix) {}

  std::vector<float> norms(int64_t kv_head, std::span<const float> values) const override;

 private:
  std::vector<kernels::PackedMatrix> slices(int64_t kv_head) const;

  const ModelSpec& spec_;
  const kernels::PackedMatrix& matrix_;
};

}  // namespace dms::model
