#include "cuda_emulator/hopper.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "cuda_emulator/cuda_emulator.h"
#include "cuda_emulator/device_array.h"
#include "cuda_emulator/runtime/numbers.h"

namespace cuda_emulator {
namespace {

class Hopper : public testing::Test {
 protected:
  Hopper() {
    options() = {};  // whatever the environment says
    // Small integers: their products' sums are exact.
    for (size_t i = 0; i < kTileRows * kTileDepth; i++) {
      a_values_.push_back(float_to_bf16(static_cast<float>(i * 7 % 17) - 8));
      b_values_.push_back(float_to_bf16(static_cast<float>(i * 5 % 23) - 11));
    }
  }
  ~Hopper() override {
    options() = saved_;
    reset_errors();
  }

  cudaError_t run(HopperFault fault = HopperFault::none) {
    const DeviceArray<u16> a(a_values_), b(b_values_);
    const DeviceArray<float> out(kTileRows * kTileRows);
    const cudaError_t error = multiply_tile(a.data(), b.data(), out.data(), fault);
    message_ = last_message();
    reset_errors();
    out_ = out.values();
    return error;
  }
  float expected(size_t row, size_t column) const {
    float sum = 0;
    for (size_t k = 0; k < kTileDepth; k++) {
      sum += bf16_to_float(a_values_[row * kTileDepth + k]) *
             bf16_to_float(b_values_[column * kTileDepth + k]);
    }
    return sum;
  }

  Options saved_ = options();
  std::vector<u16> a_values_, b_values_;
  std::vector<float> out_;
  std::string message_;
};

TEST_F(Hopper, MultipliesATileInAnyOrder) {
  for (const Landing landing :
       {Landing::late, Landing::newest_first, Landing::at_once, Landing::random}) {
    for (const bool race : {false, true}) {
      options().landing = landing;
      options().race = race;
      ASSERT_EQ(run(), cudaSuccess) << message_;
      for (size_t i = 0; i < out_.size(); i++) {
        ASSERT_EQ(out_[i], expected(i / kTileRows, i % kTileRows)) << i;
      }
    }
  }
}

TEST_F(Hopper, FindsStoresWithoutAProxyFence) {
  EXPECT_EQ(run(HopperFault::no_proxy_fence), cudaErrorIllegalAddress);
  EXPECT_NE(message_.find("without fence.proxy.async"), std::string::npos) << message_;
}

TEST_F(Hopper, FindsBarriersThatOpenEarly) {
  options().landing = Landing::late;
  const cudaError_t error = run(HopperFault::too_few_bytes);
  const bool is_wrong = error != cudaSuccess || !(out_[0] == expected(0, 0));
  EXPECT_TRUE(is_wrong);
}

TEST_F(Hopper, FindsOperandsOverwrittenInFlight) {
  EXPECT_EQ(run(HopperFault::no_wait_for_wgmma), cudaErrorIllegalAddress);
  EXPECT_NE(message_.find("changed between issue and wait_group"), std::string::npos) << message_;
}

TEST_F(Hopper, SumsOverClusters) {
  std::vector<int> values(8 * 32);
  for (size_t i = 0; i < values.size(); i++) values[i] = static_cast<int>(i * i % 101);
  const DeviceArray<int> in(values), out(values.size());
  options().race = true;
  ASSERT_EQ(sum_over_cluster(in.data(), out.data()), cudaSuccess) << last_message();
  const std::vector<int> got = out.values();
  for (size_t i = 0; i < got.size(); i++) {
    int sum = 0;
    for (size_t block = 0; block < 4; block++)
      sum += values[i / 128 * 128 + block * 32 + (i ^ 1) % 32];
    EXPECT_EQ(got[i], sum) << i;
  }
}

}  // namespace
}  // namespace cuda_emulator
