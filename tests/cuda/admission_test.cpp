// Pages of two sizes in one arena: what lies in pages of the one is of no use to the other, and the
// engine knows.

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cpu/sequence_cases.h"
#include "cuda/device_buffer.h"
#include "cuda/tiny_cuda_model.h"
#include "support/seed.h"

namespace dms::cuda {
namespace {

using testing::HasSubstr;
using testing_support::seed;

// Two slabs, of 16 pages in bf16 or 30 of codes.
constexpr int64_t kTwoSlabs = 256 << 10;
// Of two heads more than one slab; a page a head and 32 tokens.
constexpr int64_t kLong = 270;
constexpr int64_t kShort = 40;
constexpr int64_t kAnswer = 30;

const CacheOptions kDense{.policy = "none"};
/// Its window and slack end with its tenth token beyond the prompt.
const CacheOptions kCoded{.policy = "none", .window_tokens = 18, .kv_dtype = "fp8"};

class CudaAdmissionTest : public testing::Test {
 protected:
  void SetUp() override {
    DMS_NEEDS_CUDA_DEVICE();
    spec_ = tiny_cuda_spec({.layers = 1});
    source_ = random_weights(spec_, seed());
    model_ = tiny_cuda_model(spec_, *source_, {.kv_bytes = kTwoSlabs, .multiplies_on_host = true});
    engine_ = std::make_unique<engine::Engine>(
        *model_,
        engine::Vocabulary{},
        engine::EngineOptions{.chunk_tokens = 64, .max_step_tokens = 64, .max_sequences = 4});
  }

  void ask(int64_t tokens, const CacheOptions& cache, Generation& result) {
    engine_->submit({.request = {.prompt = cpu::random_ids(tokens, spec_.vocab, seed()),
                                 .sampling = {.max_new_tokens = kAnswer},
                                 .cache = cache,
                                 .sink = [&result](const dms::Event& event) {
                                   const auto* end = std::get_if<FinishedEvent>(&event);
                                   if (end != nullptr) result = end->result;
                                 }}});
  }

  void run() {
    while (engine_->step()) {
    }
  }

  ModelSpec spec_;
  std::unique_ptr<WeightSource> source_;
  std::unique_ptr<CudaModel> model_;
  std::unique_ptr<engine::Engine> engine_;
};

// There are bytes for both side by side. Let in, the second would come to a page of codes and find
// none, and be computed twice.
TEST_F(CudaAdmissionTest, WhoFindsNoPageOfItsSizeWaits) {
  Generation dense;
  Generation coded;
  ask(kLong, kDense, dense);
  ask(kShort, kCoded, coded);
  EXPECT_LT(model_->plan(kDense)->expected_bytes(kLong + kAnswer) +
                model_->plan(kCoded)->expected_bytes(kShort + kAnswer),
            kTwoSlabs * 31 / 32)
      << "bytes are not short";
  run();
  EXPECT_EQ(engine_->stats().preemptions, 0);
  EXPECT_EQ(std::ssize(dense.ids), kAnswer);
  EXPECT_EQ(std::ssize(coded.ids), kAnswer);
}

// Of 40 tokens beyond window and slack some 13 stay: the device was given two pages a head and took
// one. The other slab is of windows. A page a head is for what comes later.
TEST_F(CudaAdmissionTest, PagesThatWereGivenAheadCount) {
  CacheOptions thinned = kCoded;
  thinned.policy = "random";
  thinned.policy_args = {{"cr", "3"}};
  const auto sequence = model_->new_sequence(model_->plan(thinned));
  const std::vector<int32_t> ids = cpu::random_ids(90, spec_.vocab, seed());
  const std::vector<engine::Part> parts{{.sequence = sequence.get(), .ids = ids}};
  model_->forward(parts);
  const auto plan = model_->plan(kCoded);
  const auto places = [&](int64_t pages_a_head) {
    const engine::Expectation one{
        .plan = plan.get(), .from_tokens = 50, .to_tokens = 50 + 32 * (pages_a_head - 1)};
    return model_->can_place(std::span(&one, 1));
  };
  EXPECT_TRUE(places((30 - 2) / 2));
  EXPECT_FALSE(places(30 / 2));
}

TEST_F(CudaAdmissionTest, AShortageSaysThatBytesAreFree) {
  const auto held = model_->new_sequence(model_->plan(kDense));
  const std::vector<int32_t> ids = cpu::random_ids(kLong, spec_.vocab, seed());
  for (size_t first = 0; first < ids.size(); first += 90) {
    const std::vector<engine::Part> parts{
        {.sequence = held.get(), .ids = std::span(ids).subspan(first, 90)}};
    model_->forward(parts);
  }
  Generation coded;
  ask(kShort, kCoded, coded);
  run();
  EXPECT_THAT(coded.error, HasSubstr("in pages of a size that is used up"));
  EXPECT_EQ(model_->memory().used_bytes, held->held_bytes());
}

}  // namespace
}  // namespace dms::cuda
