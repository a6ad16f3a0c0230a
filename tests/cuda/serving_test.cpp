// The engine on both models: requests side by side, preemption, shared prefixes and branches answer
// as each request does alone, and leave no page behind.

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

constexpr int64_t kPrompt = 40;
constexpr int64_t kAnswer = 30;

class DeviceServingTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    DMS_NEEDS_CUDA_DEVICE();
    spec_ = tiny_cuda_spec({.layers = 1, .dms = cpu::dms_spec(DmsSource::adapter, 1, 16)});
    source_ = random_weights(spec_, seed());
  }

  engine::Model& model(int64_t kv_bytes = int64_t{8} << 20) {
    if (GetParam() == std::string("cuda")) {
      model_ = tiny_cuda_model(spec_, *source_, {.kv_bytes = kv_bytes});
    } else {
      model_ =
          std::make_unique<cpu::CpuModel>(cpu::tiny_model(spec_, *source_, DType::bf16, kv_bytes));
    }
    return *model_;
  }

  void TearDown() override {
    if (!model_) return;
    EXPECT_EQ(model_->memory().used_bytes, 0) << "pages were left behind";
  }

  static Request request(std::vector<int32_t> prompt, Generation& result) {
    return {.prompt = std::move(prompt),
            .sampling = {.max_new_tokens = kAnswer},
            .sink = [&result](const dms::Event& event) {
              if (const auto* end = std::get_if<FinishedEvent>(&event)) result = end->result;
            }};
  }

  std::vector<int32_t> prompt(uint64_t number) const {
    return cpu::random_ids(kPrompt, spec_.vocab, seed() + number);
  }

  std::vector<Generation> answers(engine::Engine& engine, int64_t count) {
    std::vector<Generation> results(static_cast<size_t>(count));
    for (size_t i = 0; i < results.size(); ++i) {
      engine.submit({.request = request(prompt(i), results[i])});
    }
    while (engine.step()) {
    }
    return results;
  }

  ModelSpec spec_;
  std::unique_ptr<WeightSource> source_;
  std::unique_ptr<engine::Model> model_;
};

engine::EngineOptions options() {
  return {.chunk_tokens = 32, .max_step_tokens = 64, .max_sequences = 4};
}

// Greedy answers of one sequence alone are what the others are held to: products of up to 32 rows
// and the pieces of attention don't depend on who else is in the step.
TEST_P(DeviceServingTest, PreemptedRequestsAnswerAsOthers) {
  std::vector<Generation> alone(3);
  {
    engine::Engine engine(model(), {}, options());
    for (size_t i = 0; i < alone.size(); ++i) {
      engine.submit({.request = request(prompt(i), alone[i])});
      while (engine.step()) {
      }
    }
  }
  ASSERT_EQ(model_->memory().used_bytes, 0);
  const int64_t whole = model_->memory().peak_bytes;
  for (const int64_t swap_bytes : {int64_t{0}, int64_t{1} << 22}) {
    SCOPED_TRACE(swap_bytes);
    engine::EngineOptions tight = options();
    tight.swap_bytes = swap_bytes;
    engine::Engine engine(model(2 * whole), {}, tight);
    const std::vector<Generation> results = answers(engine, 3);
    for (size_t i = 0; i < results.size(); ++i) {
      EXPECT_EQ(results[i].error, "");
      EXPECT_EQ(results[i].ids, alone[i].ids) << i;
    }
    EXPECT_GT(engine.stats().preemptions, 0);
    EXPECT_EQ(engine.stats().swaps > 0, swap_bytes > 0);
  }
}

// 16 pages: the window takes 6, and about half of so long a prompt stays.
TEST_P(DeviceServingTest, AtTheMemoryLimitARequestEndsAndAllComesBack) {
  engine::Engine engine(model(128 << 10), {}, options());
  Generation result;
  engine.submit({.request = request(cpu::random_ids(450, spec_.vocab, seed()), result)});
  while (engine.step()) {
  }
  EXPECT_THAT(result.error, HasSubstr("KV memory: limit reached"));
  EXPECT_EQ(model_->memory().used_bytes, 0);
  EXPECT_GT(model_->memory().peak_bytes, 0);
  EXPECT_LE(model_->memory().peak_bytes, model_->memory().limit_bytes);
  const Generation next = answers(engine, 1)[0];
  EXPECT_EQ(next.error, "");
  EXPECT_EQ(std::ssize(next.ids), kAnswer);
}

TEST_P(DeviceServingTest, SharedPrefixesSaveTheirComputation) {
  engine::EngineOptions sharing = options();
  sharing.prefix_cache = true;
  Generation first;
  Generation second;
  {
    engine::Engine engine(model(), {}, sharing);
    engine.submit({.request = request(prompt(0), first)});
    while (engine.step()) {
    }
    engine.submit({.request = request(prompt(0), second)});
    while (engine.step()) {
    }
    EXPECT_GT(engine.stats().cached_tokens, 0);
  }
  EXPECT_EQ(first.ids, second.ids);
}

TEST_P(DeviceServingTest, AnswersOfOneRequestBranch) {
  engine::Engine engine(model(), {}, options());
  std::vector<Generation> results(3);
  Generation unused;
  Request branching = request(prompt(0), unused);
  branching.answers = std::ssize(results);
  branching.sampling.temperature = 1.5;
  branching.sink = [&results](const dms::Event& event) {
    if (const auto* end = std::get_if<FinishedEvent>(&event)) {
      results[static_cast<size_t>(end->answer)] = end->result;
    }
  };
  engine.submit({.request = std::move(branching)});
  while (engine.step()) {
  }
  for (const Generation& result : results) EXPECT_EQ(std::ssize(result.ids), kAnswer);
  EXPECT_NE(results[0].ids, results[1].ids);
}

constexpr auto kName = [](const auto& item) { return std::string(item.param); };
INSTANTIATE_TEST_SUITE_P(Devices, DeviceServingTest, testing::Values("cpu", "cuda"), kName);

}  // namespace
}  // namespace dms::cuda
