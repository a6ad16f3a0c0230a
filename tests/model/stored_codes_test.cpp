// Matrices whose rows a source stores as codes are kept as those codes, where the format asked for
// is theirs or nobody asked for one.

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "base/dtype.h"
#include "model/decoder_weights.h"
#include "model/spec/families/family.h"
#include "model/spec/load.h"

namespace dms::model {
namespace {

using kernels::PackedMatrix;
using kernels::WeightFormat;

ModelSpec small_spec() {
  ModelSpec spec;
  spec.model_type = "llama";
  spec.layers = 1;
  spec.kv_heads = 2;
  spec.q_heads = 6;
  spec.head_dim = 32;
  spec.hidden = 64;
  spec.ffn = 96;
  spec.vocab = 37;
  spec.tied_head = true;
  spec.weight_patterns = families::llama_weight_patterns();
  spec.sliding_window.assign(1, 0);
  return spec;
}

/// Random codes in the layers, by role; plain random numbers elsewhere.
class CodedWeights final : public WeightSource {
 public:
  CodedWeights(const ModelSpec& spec, std::map<WeightRole, CodeGroups> roles)
      : plain_(random_weights(spec, 1)), roles_(std::move(roles)) {}

  std::optional<CodeGroups> code_groups(const WeightName& weight) const override {
    const auto it = roles_.find(weight.role);
    return it == roles_.end() ? std::nullopt : std::optional(it->second);
  }

  void read_codes(const WeightName& weight,
                  int64_t first,
                  int64_t count,
                  const CodeRows& out) const override {
    const CodeGroups groups = roles_.at(weight.role);
    const auto columns = static_cast<size_t>(weight.shape[1]);
    const size_t row_groups = columns / static_cast<size_t>(groups.group);
    const float zero = static_cast<float>(1 << (groups.bits - 1));
    for (size_t row = 0; row < static_cast<size_t>(count); ++row) {
      std::mt19937_64 random(static_cast<size_t>(weight.role) * 1000 + static_cast<size_t>(first) +
                             row);
      const auto half = [&] {
        return half_to_float(to_half(std::uniform_real_distribution<float>(-0.5f, 0.5f)(random)));
      };
      for (size_t i = row * columns; i < (row + 1) * columns; ++i) {
        out.codes[i] = static_cast<uint8_t>(random() % (1u << groups.bits));
      }
      for (size_t i = row * row_groups; i < (row + 1) * row_groups; ++i) {
        out.scales[i] = half();
        out.minima[i] = groups.has_minima ? half() : -zero * out.scales[i];
      }
    }
  }

  void read_rows(const WeightName& weight,
                 int64_t first,
                 int64_t count,
                 std::span<float> out) const override {
    if (code_groups(weight)) {
      read_decoded_rows(*this, weight, first, count, out);
    } else {
      plain_->read_rows(weight, first, count, out);
    }
  }

 private:
  std::unique_ptr<WeightSource> plain_;
  std::map<WeightRole, CodeGroups> roles_;
};

/// Are the rows of `matrix` from `first` on those of the weight, bit for bit?
bool holds(const PackedMatrix& matrix,
           int64_t first,
           const WeightSource& source,
           const ModelSpec& spec,
           WeightRole role) {
  for (const WeightName& weight : weight_names(spec)) {
    if (weight.role != role) continue;
    std::vector<float> expected(static_cast<size_t>(weight.shape[1]));
    std::vector<float> got(expected.size());
    for (int64_t row = 0; row < weight.shape[0]; ++row) {
      source.read_rows(weight, row, 1, expected);
      matrix.get_row(first + row, got);
      if (got != expected) return false;
    }
    return true;
  }
  return false;
}

constexpr CodeGroups kFour{.bits = 4, .group = 32};
constexpr CodeGroups kFourWithMinima{.bits = 4, .group = 64, .has_minima = true};
constexpr CodeGroups kEight{.bits = 8, .group = 32};

TEST(StoredCodes, OfTheFormatAskedForAreKeptBitForBit) {
  const ModelSpec spec = small_spec();
  const CodedWeights source(spec,
                            {{WeightRole::q, kFour},
                             {WeightRole::k, kFourWithMinima},
                             {WeightRole::v, kFour},
                             {WeightRole::down, kFour},
                             {WeightRole::attention_output, kEight}});
  const DecoderWeights weights = load_weights(spec, source, {.format = WeightFormat::int4});
  const LayerWeights& layer = weights.layers[0];
  EXPECT_TRUE(layer.qkv.matrix.has_minima());
  EXPECT_TRUE(holds(layer.qkv.matrix, 0, source, spec, WeightRole::q));
  EXPECT_TRUE(holds(layer.qkv.matrix, 6 * 32, source, spec, WeightRole::k));
  EXPECT_TRUE(holds(layer.qkv.matrix, 8 * 32, source, spec, WeightRole::v));
  EXPECT_EQ(layer.attention_output.matrix.format(), WeightFormat::int4);
  EXPECT_FALSE(holds(layer.attention_output.matrix, 0, source, spec, WeightRole::attention_output));
  EXPECT_EQ(weights.head.format(), WeightFormat::int8);
}

TEST(StoredCodes, OfAnyWidthAreKeptWhereNobodyAskedForOne) {
  const ModelSpec spec = small_spec();
  const CodedWeights source(
      spec, {{WeightRole::attention_output, kEight}, {WeightRole::embedding, kFour}});
  const DecoderWeights weights =
      load_weights(spec, source, {.format = WeightFormat::int4, .as_stored = true});
  const LayerWeights& layer = weights.layers[0];
  EXPECT_EQ(layer.attention_output.matrix.format(), WeightFormat::int8);
  EXPECT_TRUE(holds(layer.attention_output.matrix, 0, source, spec, WeightRole::attention_output));
  EXPECT_EQ(layer.mlp_out.matrix.format(), WeightFormat::int8);
  EXPECT_TRUE(holds(weights.head, 0, source, spec, WeightRole::embedding));
}

TEST(StoredCodes, ThatNoMatrixCanHoldTogetherBecomeNumbersFirst) {
  const ModelSpec spec = small_spec();
  const CodedWeights mixed(
      spec, {{WeightRole::q, kFour}, {WeightRole::k, kFour}, {WeightRole::v, kEight}});
  const CodedWeights narrow(
      spec,
      {{WeightRole::q, {.bits = 4, .group = 16}}, {WeightRole::k, kFour}, {WeightRole::v, kFour}});
  for (const WeightSource* source :
       {static_cast<const WeightSource*>(&mixed), static_cast<const WeightSource*>(&narrow)}) {
    const DecoderWeights weights =
        load_weights(spec, *source, {.format = WeightFormat::int8, .as_stored = true});
    const PackedMatrix& matrix = weights.layers[0].qkv.matrix;
    EXPECT_EQ(matrix.format(), WeightFormat::int8);
    EXPECT_FALSE(holds(matrix, 0, *source, spec, WeightRole::q));
  }
  const DecoderWeights plain = load_weights(spec, mixed, {.format = WeightFormat::f32});
  EXPECT_TRUE(holds(plain.layers[0].qkv.matrix, 0, mixed, spec, WeightRole::q));
}

}  // namespace
}  // namespace dms::model
