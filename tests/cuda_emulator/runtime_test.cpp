// Memory, launches and the device as the runtime API shows them.

#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include "cuda_emulator/cuda_emulator.h"
#include "cuda_emulator/device_array.h"
#include "cuda_emulator/launches.h"

namespace cuda_emulator {
namespace {

class Runtime : public testing::Test {
 protected:
  ~Runtime() override {
    options() = saved_;
    reset_errors();
  }

  Options saved_ = options();
};

TEST_F(Runtime, FillsNewMemoryWithNan) {
  for (const float value : DeviceArray<float>(33).values()) EXPECT_TRUE(std::isnan(value));
}

TEST_F(Runtime, RefusesCopiesOverTheEnd) {
  DeviceArray<int> device(8);
  std::vector<int> host(16);
  EXPECT_EQ(cudaMemcpy(device.data(), host.data(), 33, cudaMemcpyHostToDevice),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(host.data(), device.data() + 1, 32, cudaMemcpyDeviceToHost),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(host.data(), host.data(), 4, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(device.data(), 0, 33), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset2DAsync(device.data(), 16, 0, 8, 3, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(
      cudaMemcpy2DAsync(host.data(), 8, device.data(), 16, 8, 2, cudaMemcpyDeviceToHost, nullptr),
      cudaSuccess);
  EXPECT_EQ(cudaFree(host.data()), cudaErrorInvalidValue);
}

TEST_F(Runtime, HasAsMuchMemoryAsTheOptionSays) {
  options().memory_bytes = 1 << 20;
  size_t before = 0, after = 0, total = 0;
  cudaMemGetInfo(&before, &total);
  EXPECT_EQ(total, size_t{1} << 20);
  {
    DeviceArray<char> half(1 << 19);
    cudaMemGetInfo(&after, &total);
    EXPECT_EQ(before - after, size_t{1} << 19);
    void* more = nullptr;
    EXPECT_EQ(cudaMalloc(&more, (1 << 19) + 1), cudaErrorMemoryAllocation);
    EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  }
  cudaMemGetInfo(&after, &total);
  EXPECT_EQ(before, after);
}

TEST_F(Runtime, DoesWorkInStreamsLateIfItIsTold) {
  options().late = true;
  DeviceArray<int> device(1);
  void* memory = nullptr;
  ASSERT_EQ(cudaMallocHost(&memory, 2 * sizeof(int)), cudaSuccess);
  int* const pinned = static_cast<int*>(memory);
  const auto copy = [](void* to, const void* from) {
    EXPECT_EQ(cudaMemcpyAsync(to, from, sizeof(int), cudaMemcpyDefault, nullptr), cudaSuccess);
  };
  int pageable = 1;
  copy(device.data(), &pageable);
  pageable = 2;
  copy(pinned + 1, device.data());
  pinned[0] = 3;
  pinned[1] = 0;
  copy(device.data(), pinned);
  pinned[0] = 4;
  EXPECT_EQ(pinned[1], 0) << "nothing has waited for it";
  copy(&pageable, device.data());
  EXPECT_EQ(pinned[1], 1) << "pageable memory was read at once";
  EXPECT_EQ(pageable, 4) << "pinned memory is read late";
  EXPECT_EQ(cudaMemsetAsync(device.data(), 0, 5, nullptr), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
}

TEST_F(Runtime, ChecksLaunches) {
  EXPECT_EQ(launch_threads(128), cudaSuccess);
  EXPECT_EQ(launch_threads(129), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch_threads(0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(use_shared(64 << 10, false), cudaErrorInvalidValue);
  EXPECT_EQ(use_shared(64 << 10, true), cudaSuccess);
  EXPECT_EQ(use_shared(228 << 10, true), cudaErrorInvalidValue);
  options().arch = 80;
  EXPECT_EQ(use_shared(164 << 10, true), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
  EXPECT_EQ(use_shared(163 << 10, true), cudaSuccess);
}

TEST_F(Runtime, TellsTheDeviceByOptions) {
  options().sm_count = 7;
  options().arch = 89;
  cudaDeviceProp properties{};
  ASSERT_EQ(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
  EXPECT_EQ(properties.multiProcessorCount, 7);
  int value = 0;
  EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMinor, 0), cudaSuccess);
  EXPECT_EQ(value, 9);
  EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0),
            cudaSuccess);
  EXPECT_EQ(value, 99 << 10);
  EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrClockRate, 0), cudaErrorInvalidValue);
}

TEST_F(Runtime, CountsBlocksThatFitAnSm) {
  int blocks = 0;
  EXPECT_EQ(blocks_per_sm(1024, 0, blocks), cudaSuccess);
  EXPECT_EQ(blocks, 2);
  EXPECT_EQ(blocks_per_sm(32, 0, blocks), cudaSuccess);
  EXPECT_EQ(blocks, 32);
  EXPECT_EQ(blocks_per_sm(128, 100 << 10, blocks), cudaSuccess);
  EXPECT_EQ(blocks, 2);
  EXPECT_EQ(blocks_per_sm(128, 228 << 10, blocks), cudaSuccess);
  EXPECT_EQ(blocks, 0);
}

TEST_F(Runtime, ReachesVariables) {
  int read_back = 0;
  EXPECT_EQ(symbol_round_trip(41, read_back), cudaSuccess);
  EXPECT_EQ(read_back, 42);
}

TEST_F(Runtime, RunsBlocksThatMeetInGlobalMemory) {
  std::vector<float> values(5 * 128);
  std::iota(values.begin(), values.end(), 0.0f);
  DeviceArray<float> device(values), partial(5), out(1);
  for (const Schedule schedule : {Schedule::first_in, Schedule::last_in, Schedule::random}) {
    options().schedule = schedule;
    EXPECT_EQ(sum(device.data(), 5, partial.data(), out.data()), cudaSuccess);
    EXPECT_EQ(out.values()[0], 639.0f * 640 / 2);
  }
}

TEST_F(Runtime, ReportsWhatLaunchesMove) {
  options().profile = true;
  DeviceArray<int> values(std::vector<int>(128, 0));
  clear_reports();
  EXPECT_EQ(add(values.data(), 128, 1, nullptr), cudaSuccess);
  ASSERT_EQ(reports().size(), 1u);
  const Report& report = reports()[0];
  EXPECT_NE(report.kernel.find("add_kernel"), std::string::npos);
  EXPECT_EQ(report.block[0], 128u);
  EXPECT_EQ(report.load_bytes, 512u);
  EXPECT_EQ(report.store_bytes, 512u);
  EXPECT_EQ(report.unique_read_bytes, 512u);
  uint64_t requests = 0, sectors = 0;
  for (const SiteReport& site : report.sites) {
    requests += site.requests;
    sectors += site.units;
    EXPECT_EQ(site.units, site.ideal) << site.opcode;
  }
  EXPECT_EQ(requests, 8u);  // four warps load and store
  EXPECT_EQ(sectors, 32u);
}

}  // namespace
}  // namespace cuda_emulator
