// Sequences as bytes: what is read goes on, and what is damaged or another's is refused.

#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "cuda/model_fixture.h"

namespace dms::cuda {
namespace {

using cpu::Line;
using cpu::Rows;
using testing_support::seed;

class SavedSequenceTest : public CudaSequenceTest {};

TEST_P(SavedSequenceTest, ASavedSequenceGoesOn) {
  const auto written = [](const Line& line) {
    ByteWriter out;
    line.sequence()->write(out);
    return std::string(out.data());
  };
  const Rows expected = reference();
  for (const int64_t at : {73}) {
    SCOPED_TRACE(at);
    Line line = fresh(32);
    line.append(part(0, at));
    const std::string data = written(line);
    ByteReader in(data, "saved");
    Line restored(*model_, engine::Sequence::read(in, *model_, model_->plan(GetParam().cache)), 32);
    in.require(in.left() == 0, "something follows");
    EXPECT_EQ(written(restored), data);
    Rows rows;
    restored.append(part(at, kTokens), cpu::into(rows));
    expect_same(restored, rows, expected, at);
  }
}

TEST_P(SavedSequenceTest, DamagedBytesAreRefusedOrHarmless) {
  Line line = fresh(40);
  line.append(ids_);
  ByteWriter out;
  line.sequence()->write(out);
  std::mt19937_64 random(seed());
  int refused = 0;
  for (int i = 0; i < 60; ++i) {
    std::string data(out.data());
    if (i % 3 == 0) data.resize(random() % data.size());
    // The numbers that matter stand at the front.
    for (uint64_t flips = i % 3 == 0 ? 0 : random() % 4 + 1; flips > 0; --flips) {
      data[random() % (i % 3 == 1 ? 600 : data.size())] ^= static_cast<char>(1u << random() % 8);
    }
    try {
      ByteReader in(data, "damaged");
      Line restored(
          *model_, engine::Sequence::read(in, *model_, model_->plan(GetParam().cache)), 32);
      if (i % 10 == 0) restored.append(part(0, 2));
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GE(refused, 20) << "those that end early at least";
}

// Codes of fp8 and of int8 have the same size.
TEST_P(SavedSequenceTest, BytesOfAnotherFormatAreRefused) {
  Line line = fresh(32);
  line.append(part(0, 73));
  ByteWriter out;
  line.sequence()->write(out);
  for (const std::string dtype : {"", "fp8", "int8"}) {
    SCOPED_TRACE(dtype);
    CacheOptions cache = GetParam().cache;
    cache.kv_dtype = dtype;
    ByteReader in(out.data(), "saved");
    const auto read = [&] { engine::Sequence::read(in, *model_, model_->plan(cache)); };
    if (dtype == GetParam().cache.kv_dtype) {
      EXPECT_NO_THROW(read());
    } else {
      EXPECT_THROW(read(), InputError);
    }
  }
}

// What sequences of one model are saved under, and refused under by another.
TEST(CudaFingerprint, IsOfWeightsAndTheirFormat) {
  DMS_NEEDS_CUDA_DEVICE();
  const ModelSpec spec = tiny_cuda_spec({.layers = 1});
  const auto fingerprint = [&](uint64_t weights, MatrixFormat format) {
    return tiny_cuda_model(spec, *random_weights(spec, weights), {.weight_format = format})
        ->fingerprint();
  };
  const std::string own = fingerprint(seed(), MatrixFormat::bf16);
  EXPECT_EQ(fingerprint(seed(), MatrixFormat::bf16), own);
  EXPECT_NE(fingerprint(seed() + 1, MatrixFormat::bf16), own);
  EXPECT_NE(fingerprint(seed(), MatrixFormat::fp8), own);
}

INSTANTIATE_TEST_SUITE_P(Cases,
                         SavedSequenceTest,
                         testing::ValuesIn(few_model_cases()),
                         kModelCaseName);

}  // namespace
}  // namespace dms::cuda
