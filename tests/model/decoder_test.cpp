// What the decoder does not compute it refuses by name, whatever the spec can say.

#include "model/decoder.h"

#include <string>

#include <gtest/gtest.h>

#include "model/decoder_weights.h"
#include "model/spec/family_configs.h"
#include "model/spec/load.h"
#include "model/spec/tiny_config.h"
#include "support/errors.h"

namespace dms::model {
namespace {

using testing_support::expect_parts;
using testing_support::spec_of;

std::string refusal_of(const ModelSpec& spec) {
  return testing_support::input_error([&] {
    Decoder(spec,
            load_weights(spec, *random_weights(spec, 1), {.format = kernels::WeightFormat::f32}),
            kernels::Compute::f32);
  });
}

TEST(Decoder, RefusesEachFeatureByItsName) {
  expect_parts(refusal_of(spec_of(testing_support::falcon_rw_config())),
               {"model_type falcon", "ALiBi"});
  ModelSpec clipped = spec_of(testing_support::opt_350m_config());
  clipped.qkv_clip = 6.0;
  expect_parts(refusal_of(clipped), {"model_type opt", "clamped q, k and v"});
  ModelSpec whole = spec_of(testing_support::opt_350m_config());
  whole.qk_norm_whole = true;
  expect_parts(refusal_of(whole), {"model_type opt", "one norm over all heads"});
}

}  // namespace
}  // namespace dms::model
