// Steps and devices that fail leave nothing behind but what a restart needs.

#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "cuda/model_fixture.h"

namespace dms::cuda {
namespace {

using cpu::Line;
using cpu::Rows;

class FailingStepsTest : public CudaSequenceTest {};

// The products of a layer are four: the sixth fails when the first layer has sealed.
TEST_P(FailingStepsTest, AStepThatFailsLeavesNothingBehind) {
  int64_t left = -1;
  model_ = tiny_cuda_model(
      spec_, *source_, {.multiplies_on_host = true, .fails = [&] { return left-- == 0; }});
  const Rows expected = reference();
  Line line = fresh(32);
  Line other = fresh(32);
  line.append(part(0, 40));
  other.append(part(0, 66));
  engine::SequenceState& state = line.sequence()->state();
  const auto compute = [&](int64_t begin, int64_t end) {
    const std::vector<engine::Part> parts{{.sequence = &state, .ids = part(begin, end)}};
    model_->forward(parts);
  };
  for (const int64_t end : {60, 41}) {
    left = 5;
    EXPECT_THROW(compute(40, end), RunError);
    state.restart(40);
    EXPECT_EQ(model_->memory().used_bytes, other.sequence()->state().held_bytes());
    compute(0, 40);
  }
  Rows rows;
  line.append(part(40, kTokens), cpu::into(rows));
  expect_same(line, rows, expected, 40);
  rows.clear();
  other.append(part(66, kTokens), cpu::into(rows));
  expect_same(other, rows, expected, 66);
}

// A stream in a capture can be waited for as little as that of a device that has failed.
TEST_P(FailingStepsTest, ADeviceThatFailsLetsSequencesGo) {
  Line line = fresh(32);
  line.append(part(0, 30));
  auto gone = std::make_unique<Line>(fresh(32));
  gone->append(part(0, 10));
  const cudaStream_t stream = model_->stream().get();
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_NO_THROW(line.sequence()->state().restart(30));
  EXPECT_NO_THROW(gone.reset());
  cudaGraph_t graph = nullptr;
  EXPECT_NE(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  cudaGetLastError();
  EXPECT_EQ(model_->memory().used_bytes, 0) << "nothing was sealed yet";
  EXPECT_EQ(line.sequence()->state().tokens(), 0);
}

INSTANTIATE_TEST_SUITE_P(Cases,
                         FailingStepsTest,
                         testing::ValuesIn(few_model_cases()),
                         kModelCaseName);

}  // namespace
}  // namespace dms::cuda
