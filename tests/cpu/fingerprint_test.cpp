// A cache that another model computed is never taken for one's own, however alike the two are.

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "cpu/tiny_model.h"
#include "support/seed.h"

namespace dms::cpu {
namespace {

using testing_support::seed;

/// Random weights, those of one role a little larger: as another training leaves them.
class ChangedWeights final : public WeightSource {
 public:
  ChangedWeights(const ModelSpec& spec, WeightRole role, int64_t layer)
      : random_(random_weights(spec, seed())), role_(role), layer_(layer) {}

  void read_rows(const WeightName& weight,
                 int64_t first,
                 int64_t count,
                 std::span<float> out) const override {
    random_->read_rows(weight, first, count, out);
    if (weight.role != role_ || weight.layer != layer_) return;
    for (float& value : out) value = value * 1.02f + 0.02f;
  }

 private:
  std::unique_ptr<WeightSource> random_;
  WeightRole role_;
  int64_t layer_;
};

/// Whose matrices are too large to be read whole.
ModelSpec wide_spec() {
  ModelSpec spec =
      tiny_spec({.layers = 3, .dms = DmsSpec{.source = DmsSource::adapter, .window = 5}});
  spec.hidden = 256;
  spec.ffn = 512;
  spec.vocab = 1000;
  spec.tied_head = false;
  spec.weight_patterns = kEveryWeight;
  return spec;
}

TriattentionSpec statistics(float mean, float size) {
  return {.tokens = 1,
          .means = std::make_shared<const std::vector<float>>(8, mean),
          .sizes = std::make_shared<const std::vector<float>>(4, size)};
}

TEST(Fingerprint, TellsWeightsApart) {
  const ModelSpec spec = wide_spec();
  for (const DType type : {DType::f32, DType::bf16}) {
    std::set<std::string> seen{tiny_model(spec, *random_weights(spec, seed()), type).fingerprint()};
    EXPECT_TRUE(seen.contains(tiny_model(spec, *random_weights(spec, seed()), type).fingerprint()));
    for (const WeightName& weight : weight_names(spec)) {
      const ChangedWeights changed(spec, weight.role, weight.layer);
      EXPECT_TRUE(seen.insert(tiny_model(spec, changed, type).fingerprint()).second) << weight.name;
    }
  }
}

TEST(Fingerprint, TellsComputationsApart) {
  using Change = std::function<void(ModelSpec&)>;
  const std::vector<Change> changes{
      [](ModelSpec&) {},
      [](ModelSpec& spec) { spec.norm_eps = 1e-6; },
      [](ModelSpec& spec) { spec.attention_scale = 0.5; },
      [](ModelSpec& spec) { spec.attention_soft_cap = 50; },
      [](ModelSpec& spec) { spec.qkv_clip = 8; },
      [](ModelSpec& spec) { spec.embedding_scale = 2; },
      [](ModelSpec& spec) {
        spec.sliding_window = {0, 64, 0};
      },
      [](ModelSpec& spec) {
        spec.sliding_window = {64, 0, 0};
      },
      [](ModelSpec& spec) {
        spec.unrotated = {0, 0, 1};
      },
      [](ModelSpec& spec) { spec.activation = Activation::gelu; },
      [](ModelSpec& spec) { spec.rope.theta = 500000; },
      [](ModelSpec& spec) { spec.rope.rotary_dim /= 2; },
      [](ModelSpec& spec) { spec.rope.frequency_divisors.assign(8, 2.0f); },
      [](ModelSpec& spec) {
        spec.rope.scaling = RopeScaling::linear;
        spec.rope.factor = 2;
      },
      [](ModelSpec& spec) {
        spec.rope.scaling = RopeScaling::linear;
        spec.rope.factor = 4;
      },
      [](ModelSpec& spec) { spec.triattention = statistics(0.5f, 1.0f); },
      [](ModelSpec& spec) { spec.triattention = statistics(0.5f, 1.5f); },
      [](ModelSpec& spec) { spec.triattention = statistics(0.25f, 1.0f); },
      [](ModelSpec& spec) { spec.dms->alpha_offset = 4; },
      [](ModelSpec& spec) { spec.dms->window = 6; }};
  std::set<std::string> seen;
  for (size_t i = 0; i < changes.size(); ++i) {
    ModelSpec spec = wide_spec();
    changes[i](spec);
    const CpuModel model = tiny_model(spec, *random_weights(spec, seed()));
    EXPECT_TRUE(seen.insert(model.fingerprint()).second) << "change " << i;
  }
}

}  // namespace
}  // namespace dms::cpu
