#include "cuda/device_buffer.h"

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace dms::testing_support {
namespace {

TEST(DeviceBuffer, HoldsNanUntilWritten) {
  DMS_NEEDS_CUDA_DEVICE();
  const DeviceBuffer<float> floats(5);
  for (const float value : floats.download()) EXPECT_TRUE(std::isnan(value));
  const DeviceBuffer<uint8_t> bytes(3);
  EXPECT_EQ(bytes.download(), std::vector<uint8_t>(3, 0xff));
}

TEST(DeviceBuffer, GivesBackWhatItWasGiven) {
  DMS_NEEDS_CUDA_DEVICE();
  DeviceBuffer<int32_t> buffer(std::vector<int32_t>{1, 2, 3, 4});
  buffer.upload(std::vector<int32_t>{7, 8}, 1);
  EXPECT_EQ(buffer.download(), (std::vector<int32_t>{1, 7, 8, 4}));
  EXPECT_EQ(buffer.download(2, 2), (std::vector<int32_t>{8, 4}));
  buffer.poison(3, 1);
  EXPECT_EQ(buffer.download(), (std::vector<int32_t>{1, 7, 8, -1}));
  buffer.zero();
  EXPECT_EQ(buffer.download(), std::vector<int32_t>(4, 0));
}

TEST(DeviceBuffer, MovesItsMemory) {
  DMS_NEEDS_CUDA_DEVICE();
  DeviceBuffer<int32_t> from(std::vector<int32_t>{1, 2});
  const int32_t* address = from.get();
  DeviceBuffer<int32_t> to = std::move(from);
  EXPECT_EQ(to.get(), address);
  EXPECT_EQ(to.download(), (std::vector<int32_t>{1, 2}));
  from = DeviceBuffer<int32_t>(3);
  EXPECT_EQ(from.size(), 3u);
}

TEST(DeviceBuffer, RefusesWhatLiesOutside) {
  DMS_NEEDS_CUDA_DEVICE();
  DeviceBuffer<int32_t> buffer(2);
  EXPECT_THROW(buffer.upload(std::vector<int32_t>{1, 2}, 1), std::out_of_range);
  EXPECT_THROW(buffer.download(0, 3), std::out_of_range);
  EXPECT_THROW(buffer.poison(3, 0), std::out_of_range);
}

TEST(DeviceBuffer, ThrowsWhatTheRuntimeSays) {
  EXPECT_NO_THROW(require_cuda(cudaSuccess));
  EXPECT_THROW(require_cuda(cudaErrorInvalidValue), std::runtime_error);
}

}  // namespace
}  // namespace dms::testing_support
