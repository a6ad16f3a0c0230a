// Stream capture follows the rules that the runtime API checks on a device.

#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include "cuda_emulator/cuda_emulator.h"
#include "cuda_emulator/device_array.h"
#include "cuda_emulator/launches.h"

namespace cuda_emulator {
namespace {

class Capture : public testing::Test {
 protected:
  Capture() : values_(std::vector<int>(kCount, 1)) {
    cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking);
    cudaMallocHost(reinterpret_cast<void**>(&pinned_), kCount * sizeof(int));
  }
  ~Capture() override {
    cudaStreamDestroy(stream_);
    cudaFreeHost(pinned_);
    reset_errors();
  }

  void begin(cudaStreamCaptureMode mode = cudaStreamCaptureModeThreadLocal) {
    ASSERT_EQ(cudaStreamBeginCapture(stream_, mode), cudaSuccess);
  }
  cudaStreamCaptureStatus status() {
    cudaStreamCaptureStatus status{};
    EXPECT_EQ(cudaStreamIsCapturing(stream_, &status), cudaSuccess);
    return status;
  }
  /// Ends a capture that has failed.
  void end_invalid() {
    EXPECT_EQ(status(), cudaStreamCaptureStatusInvalidated);
    EXPECT_EQ(add(values_.data(), kCount, 1, stream_), cudaErrorStreamCaptureInvalidated);
    cudaGraph_t graph{};
    EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(graph, nullptr);
    EXPECT_EQ(status(), cudaStreamCaptureStatusNone);
  }
  cudaGraphExec_t end_and_instantiate() {
    cudaGraph_t graph{};
    EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess) << last_message();
    cudaGraphExec_t executable{};
    EXPECT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    return executable;
  }
  std::vector<int> all(int value) { return std::vector<int>(kCount, value); }

  static constexpr int kCount = 200;
  DeviceArray<int> values_;
  cudaStream_t stream_{};
  int* pinned_ = nullptr;
};

TEST_F(Capture, RecordsLaunchesAndRunsThemWithTheGraph) {
  begin();
  EXPECT_EQ(status(), cudaStreamCaptureStatusActive);
  EXPECT_EQ(add(values_.data(), kCount, 3, stream_), cudaSuccess);
  const cudaGraphExec_t graph = end_and_instantiate();
  EXPECT_EQ(values_.values(), all(1)) << "the capture ran the kernel";
  EXPECT_EQ(cudaGraphLaunch(graph, stream_), cudaSuccess);
  EXPECT_EQ(cudaGraphLaunch(graph, stream_), cudaSuccess);
  EXPECT_EQ(values_.values(), all(7));
  EXPECT_EQ(cudaGraphExecDestroy(graph), cudaSuccess);
  EXPECT_EQ(cudaGraphLaunch(graph, stream_), cudaErrorInvalidValue) << "a graph that is gone";
}

TEST_F(Capture, KeepsTheOrderOfCopiesFillsAndKernels) {
  begin();
  EXPECT_EQ(cudaMemsetAsync(values_.data(), 0, kCount * sizeof(int), stream_), cudaSuccess);
  EXPECT_EQ(cudaMemset2DAsync(values_.data(), 8, 1, 4, kCount / 2, stream_), cudaSuccess);
  EXPECT_EQ(add(values_.data(), kCount, 5, stream_), cudaSuccess);
  EXPECT_EQ(cudaMemcpyAsync(
                pinned_, values_.data(), kCount * sizeof(int), cudaMemcpyDeviceToHost, stream_),
            cudaSuccess);
  pinned_[0] = pinned_[1] = -1;
  const cudaGraphExec_t graph = end_and_instantiate();
  EXPECT_EQ(pinned_[0], -1);
  EXPECT_EQ(cudaGraphLaunch(graph, stream_), cudaSuccess);
  EXPECT_EQ(pinned_[0], 0x01010101 + 5);
  EXPECT_EQ(pinned_[1], 5);
  EXPECT_EQ(cudaGraphExecDestroy(graph), cudaSuccess);
}

TEST_F(Capture, CopiesArgumentsWhenItRecords) {
  begin();
  int amount = 2;
  EXPECT_EQ(add(values_.data(), kCount, amount, stream_), cudaSuccess);
  amount = 100;
  const cudaGraphExec_t graph = end_and_instantiate();
  EXPECT_EQ(cudaGraphLaunch(graph, stream_), cudaSuccess);
  EXPECT_EQ(values_.values(), all(3));
  EXPECT_EQ(cudaGraphExecDestroy(graph), cudaSuccess);
}

TEST_F(Capture, RefusesWhatAllocatesOrSynchronises) {
  void* pointer = nullptr;
  const std::vector<std::pair<std::string, std::function<cudaError_t()>>> calls = {
      {"cudaMalloc", [&] { return cudaMalloc(&pointer, 16); }},
      {"cudaFree", [&] { return cudaFree(values_.data()); }},
      {"cudaMallocHost", [&] { return cudaMallocHost(&pointer, 16); }},
      {"cudaMemcpy",
       [&] { return cudaMemcpy(pinned_, values_.data(), 4, cudaMemcpyDeviceToHost); }},
      {"cudaMemset", [&] { return cudaMemset(values_.data(), 0, 4); }},
      {"cudaDeviceSynchronize", [] { return cudaDeviceSynchronize(); }},
      {"cudaStreamSynchronize", [&] { return cudaStreamSynchronize(stream_); }},
      {"cudaStreamQuery", [&] { return cudaStreamQuery(stream_); }},
  };
  for (const auto& [name, call] : calls) {
    SCOPED_TRACE(name);
    begin();
    EXPECT_EQ(call(), cudaErrorStreamCaptureUnsupported);
    end_invalid();
    cudaGetLastError();
  }
  EXPECT_EQ(values_.values(), all(1));
}

TEST_F(Capture, RefusesCopiesOfPageableMemory) {
  std::vector<int> pageable(kCount);
  begin();
  EXPECT_EQ(
      cudaMemcpyAsync(
          values_.data(), pageable.data(), kCount * sizeof(int), cudaMemcpyHostToDevice, stream_),
      cudaErrorStreamCaptureUnsupported);
  end_invalid();
}

TEST_F(Capture, AllowsEverythingInRelaxedMode) {
  begin(cudaStreamCaptureModeRelaxed);
  void* pointer = nullptr;
  EXPECT_EQ(cudaMalloc(&pointer, 16), cudaSuccess);
  EXPECT_EQ(cudaFree(pointer), cudaSuccess);
  EXPECT_EQ(cudaGraphExecDestroy(end_and_instantiate()), cudaSuccess);
}

TEST_F(Capture, ForbidsOtherThreadsOnlyInGlobalMode) {
  const auto allocate_elsewhere = [] {
    cudaError_t result = cudaSuccess;
    std::thread([&] {
      void* pointer = nullptr;
      result = cudaMalloc(&pointer, 16);
      if (result == cudaSuccess) cudaFree(pointer);
    }).join();
    return result;
  };
  begin(cudaStreamCaptureModeThreadLocal);
  EXPECT_EQ(allocate_elsewhere(), cudaSuccess);
  EXPECT_EQ(cudaGraphExecDestroy(end_and_instantiate()), cudaSuccess);
  begin(cudaStreamCaptureModeGlobal);
  EXPECT_EQ(allocate_elsewhere(), cudaErrorStreamCaptureUnsupported);
  end_invalid();
}

TEST_F(Capture, TakesNoLegacyStream) {
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal),
            cudaErrorStreamCaptureUnsupported);
  cudaStream_t blocking{};
  ASSERT_EQ(cudaStreamCreate(&blocking), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(blocking, cudaStreamCaptureModeGlobal), cudaSuccess);
  EXPECT_EQ(add(values_.data(), kCount, 1, nullptr), cudaErrorStreamCaptureImplicit);
  cudaGraph_t graph{};
  EXPECT_EQ(cudaStreamEndCapture(blocking, &graph), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(cudaStreamDestroy(blocking), cudaSuccess);
}

TEST_F(Capture, ForksAndJoinsByEvents) {
  cudaStream_t other{};
  cudaEvent_t fork{}, join{};
  ASSERT_EQ(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking), cudaSuccess);
  cudaEventCreate(&fork);
  cudaEventCreate(&join);
  for (const bool joins : {false, true}) {
    begin();
    EXPECT_EQ(cudaEventRecord(fork, stream_), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(other, fork, 0), cudaSuccess);
    EXPECT_EQ(add(values_.data(), kCount, 1, other), cudaSuccess);
    EXPECT_EQ(cudaEventRecord(join, other), cudaSuccess);
    if (!joins) {
      cudaGraph_t graph{};
      EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureUnjoined);
      EXPECT_EQ(cudaGetLastError(), cudaErrorStreamCaptureUnjoined);
      continue;
    }
    EXPECT_EQ(cudaStreamWaitEvent(stream_, join, 0), cudaSuccess);
    const cudaGraphExec_t graph = end_and_instantiate();
    EXPECT_EQ(cudaGraphLaunch(graph, stream_), cudaSuccess);
    EXPECT_EQ(cudaGraphExecDestroy(graph), cudaSuccess);
  }
  EXPECT_EQ(values_.values(), all(2));
  cudaEventDestroy(fork);
  cudaEventDestroy(join);
  cudaStreamDestroy(other);
}

TEST_F(Capture, UpdatesAGraphOfTheSameShapeOnly) {
  begin();
  EXPECT_EQ(add(values_.data(), kCount, 1, stream_), cudaSuccess);
  const cudaGraphExec_t executable = end_and_instantiate();
  cudaGraphExecUpdateResultInfo info{};
  for (const int launches : {1, 2}) {
    begin();
    for (int i = 0; i < launches; i++) add(values_.data(), kCount, 10, stream_);
    cudaGraph_t graph{};
    EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
    EXPECT_EQ(cudaGraphExecUpdate(executable, graph, &info),
              launches == 1 ? cudaSuccess : cudaErrorGraphExecUpdateFailure);
    cudaGraphDestroy(graph);
  }
  EXPECT_EQ(cudaGraphLaunch(executable, stream_), cudaSuccess);
  EXPECT_EQ(values_.values(), all(11));
  EXPECT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
}

TEST_F(Capture, FindsMemoryThatIsGoneWhenTheGraphRuns) {
  int* memory = nullptr;
  ASSERT_EQ(cudaMalloc(reinterpret_cast<void**>(&memory), kCount * sizeof(int)), cudaSuccess);
  begin();
  EXPECT_EQ(add(memory, kCount, 1, stream_), cudaSuccess);
  const cudaGraphExec_t graph = end_and_instantiate();
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
  EXPECT_EQ(cudaGraphLaunch(graph, stream_), cudaErrorIllegalAddress);
  reset_errors();
  EXPECT_EQ(cudaGraphExecDestroy(graph), cudaSuccess);
}

}  // namespace
}  // namespace cuda_emulator
