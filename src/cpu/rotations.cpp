#include "cpu/rotations.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "kernels/alibi.h"
#include "model/spec/rope_frequencies.h"

namespace dms::cpu {
namespace {

std::shared_ptr<const policy::Rotation> rotation(const RopeSpec& rope, int64_t rope_length) {
  return std::make_shared<const policy::Rotation>(policy::Rotation{
      .frequencies = inverse_frequencies(rope, rope_length), .factor = attention_factor(rope)});
}

/// As each layer turns; what does not depend on the length is made once.
class LayerRotations {
 public:
  explicit LayerRotations(const ModelSpec& spec) {
    std::vector<const RopeSpec*> made;
    for (int64_t layer = 0; layer < spec.layers; ++layer) {
      const RopeSpec* rope = spec.rope_at(layer);
      const auto known = std::ranges::find(made, rope);
      Layer& added = layers_.emplace_back();
      if (known != made.end()) {
        added = layers_[static_cast<size_t>(known - made.begin())];
      } else if (rope == nullptr) {
        added.fixed = std::make_shared<const policy::Rotation>();
      } else if (rope->depends_on_length()) {
        added.by_length = *rope;
      } else {
        added.fixed = rotation(*rope, 0);
      }
      made.push_back(rope);
    }
  }

  std::shared_ptr<const policy::Rotation> operator()(int64_t layer, int64_t rope_length) const {
    const Layer& of = layers_[static_cast<size_t>(layer)];
    return of.fixed ? of.fixed : rotation(*of.by_length, rope_length);
  }

 private:
  struct Layer {
    std::shared_ptr<const policy::Rotation> fixed;
    std::optional<RopeSpec> by_length;
  };
  std::vector<Layer> layers_;
};

}  // namespace

policy::Rotations rotations_of(const ModelSpec& spec) {
  if (spec.position != PositionKind::rope) return {};
  return {LayerRotations(spec), spec.rope.rotary_dim / 2};
}

policy::PositionBias position_bias(const ModelSpec& spec) {
  if (spec.position != PositionKind::alibi) return {};
  return [alibi = kernels::Alibi{.slopes = spec.alibi_slopes, .bf16_products = spec.alibi_in_bf16}](
             int64_t q_head, int64_t position, int64_t origin) {
    return kernels::alibi_bias(alibi, q_head, position, origin);
  };
}

}  // namespace dms::cpu
