// Decoding without the host: the tokens are those that the engine chooses, and what fails on the
// way leaves no page behind.

#include "cuda/decode_loop.h"

#include <cmath>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "cpu/sequence_cases.h"
#include "cuda/device_buffer.h"
#include "cuda/tiny_cuda_model.h"
#include "support/seed.h"

namespace dms::cuda {
namespace {

using testing_support::seed;

constexpr int64_t kPrompt = 40;
constexpr int64_t kAnswer = 30;
constexpr size_t kSequences = 2;

class DecodeLoopTest : public testing::Test {
 protected:
  void SetUp() override {
    DMS_NEEDS_CUDA_DEVICE();
    spec_ = tiny_cuda_spec({.layers = 1});
    source_ = random_weights(spec_, seed());
  }

  void TearDown() override {
    if (!model_) return;
    states_.clear();
    EXPECT_EQ(model_->memory().used_bytes, 0) << "pages were left behind";
  }

  /// Two sequences after their prompts, and what the engine answers them.
  void begin(DeviceTraits traits) {
    model_ = tiny_cuda_model(spec_, *source_, std::move(traits));
    engine::Engine engine(
        *model_, {}, {.chunk_tokens = 64, .max_step_tokens = 64, .max_sequences = 4});
    for (size_t i = 0; i < kSequences; ++i) {
      engine.submit({.request = {.prompt = prompt(i),
                                 .sampling = {.max_new_tokens = kAnswer},
                                 .cache = options_,
                                 .sink = [this, i](const dms::Event& event) {
                                   const auto* end = std::get_if<FinishedEvent>(&event);
                                   if (end != nullptr) expected_[i] = end->result.ids;
                                 }}});
    }
    while (engine.step()) {
    }
    for (size_t i = 0; i < kSequences; ++i) {
      ASSERT_EQ(std::ssize(expected_[i]), kAnswer);
      states_.push_back(model_->new_sequence(model_->plan(options_)));
      sequences_.push_back(static_cast<CudaSequence*>(states_.back().get()));
    }
    read_prompts();
  }

  void read_prompts() {
    for (size_t i = 0; i < kSequences; ++i) {
      const std::vector<int32_t> ids = prompt(i);
      const std::vector<engine::Part> parts{{.sequence = states_[i].get(), .ids = ids}};
      model_->forward(parts);
    }
  }

  std::vector<int32_t> prompt(size_t number) const {
    return cpu::random_ids(kPrompt, spec_.vocab, seed() + number);
  }

  /// Runs so many steps on from what the sequences hold; they choose what the engine chose.
  void expect_steps(DecodeLoop& loop, int32_t steps) {
    const auto done = static_cast<size_t>(sequences_[0]->tokens() - kPrompt);
    const std::vector<int32_t> chosen = loop.run(tokens_at(done), steps);
    for (size_t step = 0; step < static_cast<size_t>(steps); ++step) {
      for (size_t i = 0; i < kSequences; ++i) {
        ASSERT_EQ(chosen[step * kSequences + i], expected_[i][done + step + 1])
            << "step " << done + step << " of sequence " << i;
      }
    }
  }

  std::vector<int32_t> tokens_at(size_t step) const {
    std::vector<int32_t> tokens;
    for (const auto& ids : expected_) tokens.push_back(ids[step]);
    return tokens;
  }

  // All tokens stay, those beyond the window in pages of their own size.
  const CacheOptions options_{.policy = "none", .window_tokens = 12, .kv_dtype = "int8"};
  ModelSpec spec_;
  std::unique_ptr<WeightSource> source_;
  std::unique_ptr<CudaModel> model_;
  std::vector<std::vector<int32_t>> expected_{kSequences};
  std::vector<std::unique_ptr<engine::SequenceState>> states_;
  std::vector<CudaSequence*> sequences_;
  const std::vector<SamplingRow> greedy_{kSequences};
};

// Steps are graphs from the second on, and what the host knows afterwards is as after as many
// passes.
TEST_F(DecodeLoopTest, GivesTheEnginesTokens) {
  begin({});
  {
    DecodeLoop loop(*model_, sequences_, greedy_);
    expect_steps(loop, 15);
    expect_steps(loop, 14);
    EXPECT_EQ(loop.graphs().replays(), 29 - 1);
  }
  EXPECT_EQ(sequences_[0]->tokens(), kPrompt + 29);
  const std::vector<int32_t> rest = tokens_at(29);
  for (size_t i = 0; i < kSequences; ++i) {
    const std::vector<engine::Part> parts{{.sequence = states_[i].get(),
                                           .ids = std::span(rest).subspan(i, 1),
                                           .logits = engine::LogitRows::last}};
    EXPECT_TRUE(std::isfinite(model_->forward(parts)[0]));
  }
}

TEST_F(DecodeLoopTest, WhereThereIsNoRoomForAllStepsNothingHasChanged) {
  begin({.multiplies_on_host = true});
  DecodeLoop loop(*model_, sequences_, greedy_, false);
  const int64_t held = model_->memory().used_bytes;
  EXPECT_THROW(loop.run(tokens_at(0), 50'000), MemoryShortage);
  EXPECT_EQ(model_->memory().used_bytes, held);
  expect_steps(loop, 8);
}

// Each step has five products. By the eighth the heads have begun pages of survivors, of which the
// host knows nothing yet.
TEST_F(DecodeLoopTest, AStepThatFailsLeavesNothingBehind) {
  int64_t left = -1;
  begin({.multiplies_on_host = true, .fails = [&] { return left-- == 0; }});
  engine::SequenceState& other = *states_.emplace_back(model_->new_sequence(model_->plan({})));
  const std::vector<int32_t> ids = prompt(7);
  const std::vector<engine::Part> parts{{.sequence = &other, .ids = ids}};
  model_->forward(parts);
  DecodeLoop loop(*model_, sequences_, greedy_, false);
  for (const int64_t products : {5 * 7 + 2, 1}) {
    left = products;
    EXPECT_THROW(loop.run(tokens_at(0), 15), RunError);
    left = -1;
    for (CudaSequence* sequence : sequences_) sequence->restart(0);
    EXPECT_EQ(model_->memory().used_bytes, other.held_bytes());
    read_prompts();
  }
  expect_steps(loop, 15);
}

}  // namespace
}  // namespace dms::cuda
