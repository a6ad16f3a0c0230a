// What the decoder does not compute it refuses by name, whatever the spec can say.

#include "model/decoder.h"

#include <string>

#include <gtest/gtest.h>

#include "model/decoder_weights.h"
#include "model/spec/family_specs.h"
#include "model/spec/load.h"
#include "support/errors.h"

namespace dms::model {
namespace {

using testing_support::expect_parts;
using testing_support::FamilySpec;
using testing_support::kFamilySpecs;

std::string refusal_of(const ModelSpec& spec) {
  return testing_support::input_error([&] {
    Decoder(spec,
            load_weights(spec, *random_weights(spec, 1), {.format = kernels::WeightFormat::f32}),
            kernels::Compute::f32);
  });
}

class UnsupportedFamily : public ::testing::TestWithParam<FamilySpec> {};

TEST_P(UnsupportedFamily, LoadsAndIsRefused) {
  const ModelSpec spec = GetParam().make();
  expect_parts(refusal_of(spec), {"model_type " + spec.model_type, "does not compute"});
}

INSTANTIATE_TEST_SUITE_P(Specs,
                         UnsupportedFamily,
                         ::testing::ValuesIn(kFamilySpecs),
                         [](const auto& item) { return std::string(item.param.name); });

TEST(Decoder, RefusesEachFeatureByItsName) {
  const auto rotary = [] {
    ModelSpec spec = testing_support::opt_350m_spec();
    spec.position = PositionKind::rope;
    spec.norm_after = false;
    return spec;
  };
  expect_parts(refusal_of(rotary()), {"projected embeddings"});
  ModelSpec clipped = rotary();
  clipped.embedding_dim = 0;
  clipped.qkv_clip = 6.0;
  expect_parts(refusal_of(clipped), {"clamped q, k and v"});
}

}  // namespace
}  // namespace dms::model
