#include "train/device.h"

#include <gtest/gtest.h>

#include "support/errors.h"

namespace dms::train {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;

TEST(ChooseDevice, AutoTakesAGpuWhereThereIsOne) {
  EXPECT_EQ(choose_device("cpu", {}), at::Device(at::kCPU));
  EXPECT_EQ(choose_device("auto", {}).is_cuda(), at::hasCUDA());
}

TEST(ChooseDevice, RefusesGpusThatAreNotThere) {
  const std::string setting = at::hasCUDA() ? "cuda:99" : "cuda";
  expect_parts(input_error([&] { choose_device(setting, {}); }), {"hf_trainer.device", "GPU"});
}

TEST(ChooseDevice, RefusesOneGpuForSeveralRanks) {
  if (!at::hasCUDA()) GTEST_SKIP() << "no CUDA device";
  expect_parts(input_error([] { choose_device("cuda:0", {.size = 2}); }),
               {"names one GPU for 2 processes"});
}

}  // namespace
}  // namespace dms::train
