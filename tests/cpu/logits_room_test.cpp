// Rows of logits are large: what a pass needed for many of them is given back by the next that
// wants few.

#include <gtest/gtest.h>

#include "cpu/tiny_model.h"
#include "support/peak_memory.h"
#include "support/seed.h"

namespace dms::cpu {
namespace {

using dms::testing_support::held_bytes;

TEST(LogitsRoom, IsGivenBackAfterAPassThatWantedMany) {
  constexpr int64_t kChunk = 256;
  ModelSpec spec = tiny_spec({});
  spec.vocab = 5000;
  CpuModel model(
      spec,
      model::load_weights(spec, *random_weights(spec, 1), {.format = kernels::WeightFormat::f32}),
      {.dtype = DType::f32,
       .weight_format = kernels::WeightFormat::f32,
       .compute = kernels::Compute::f32});
  Line line(model, CacheOptions{}, kChunk);
  const auto append = [&](int64_t tokens) {
    int64_t rows = 0;
    line.append(random_ids(tokens, spec.vocab, testing_support::seed()),
                [&](int64_t, std::span<const float>) { ++rows; });
    EXPECT_EQ(rows, tokens);
  };
  append(1);
  const int64_t before = held_bytes;
  const int64_t many_rows = kChunk * spec.vocab * static_cast<int64_t>(sizeof(float));
  append(kChunk);
  EXPECT_GT(held_bytes - before, many_rows);
  append(1);
  EXPECT_LT(held_bytes - before, many_rows / 4);
}

}  // namespace
}  // namespace dms::cpu
