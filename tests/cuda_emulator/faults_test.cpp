// Each kind of bug is found where it is planted, and nothing where it is not.

#include "cuda_emulator/faults.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "cuda_emulator/cuda_emulator.h"
#include "cuda_emulator/device_array.h"

namespace cuda_emulator {
namespace {

enum class FoundBy { error, nan };

struct FaultCase {
  std::string name;
  Fault fault;
  std::string message = "";  // part of it
  FoundBy found_by = FoundBy::error;
  bool needs_race_check = false;
};

void PrintTo(const FaultCase& fault, std::ostream* out) { *out << fault.name; }

const std::vector<FaultCase> kFaults = {
    {"GlobalOutOfBounds", Fault::global_out_of_bounds, "illegal global load of 4 bytes"},
    {"MisalignedGlobal", Fault::misaligned_global, "misaligned global load"},
    {"SharedOutOfBounds", Fault::shared_out_of_bounds, "shared access of 4 bytes at offset"},
    {"MisalignedShared", Fault::misaligned_shared, "misaligned shared load"},
    {"UninitialisedShared", Fault::uninitialised_shared, "", FoundBy::nan},
    {"RaceBetweenWarps", Fault::race_between_warps, "shared-memory race: ", FoundBy::error, true},
    {"RaceWithinWarp", Fault::race_within_warp, "shared-memory race: ", FoundBy::error, true},
    {"CopyNotWaitedFor", Fault::copy_not_waited_for, "", FoundBy::nan},
    {"CopyOverwritesRead",
     Fault::copy_overwrites_read,
     "shared-memory race: ",
     FoundBy::error,
     true},
    {"WrongParity", Fault::wrong_parity, "threads in mbarrier wait [mbarrier.test_wait"},
    {"BarrierNotByAll", Fault::barrier_not_by_all, "deadlock in block (0,0,0): 64 threads in bar"},
    {"MbarrierNotInitialised", Fault::mbarrier_not_initialised, "used before mbarrier.init"},
    {"MbarrierOverwritten", Fault::mbarrier_overwritten, "was overwritten"},
    {"TooManyArrivals", Fault::too_many_arrivals, "more arrivals than its count 64"},
    {"ShuffleOfInactiveLane", Fault::shuffle_of_inactive_lane, "reads inactive lane 31"},
    {"LaneOutsideItsMask", Fault::lane_outside_its_mask, "is not in its own mask 0000ffff"},
    {"DivergentMma", Fault::divergent_mma, "mma.aligned executed divergently"},
};

class Faults : public testing::TestWithParam<FaultCase> {
 protected:
  Faults() : in_(kFaultThreads) {
    for (int i = 0; i < kFaultThreads; i++) in_[static_cast<size_t>(i)] = static_cast<float>(i);
    options().race = GetParam().needs_race_check;
    options().schedule = Schedule::first_in;
    options().landing = Landing::late;
  }
  ~Faults() override {
    options() = saved_;
    reset_errors();
  }

  cudaError_t run_on(bool is_broken, std::vector<float>& out) {
    const DeviceArray<float> device_in(in_), device_out(in_.size());
    const cudaError_t error = run(GetParam().fault, is_broken, device_in.data(), device_out.data());
    message_ = last_message();
    reset_errors();
    out = device_out.values();
    return error;
  }

  Options saved_ = options();
  std::vector<float> in_;
  std::string message_;
};

TEST_P(Faults, AreFoundWherePlanted) {
  std::vector<float> out;
  const cudaError_t error = run_on(true, out);
  if (GetParam().found_by == FoundBy::nan) {
    EXPECT_EQ(error, cudaSuccess) << message_;
    const auto is_nan = [](float value) { return std::isnan(value); };
    EXPECT_TRUE(std::ranges::any_of(out, is_nan));
    return;
  }
  EXPECT_NE(error, cudaSuccess);
  EXPECT_NE(message_.find(GetParam().message), std::string::npos) << message_;
  EXPECT_NE(message_.find("faults.cu:"), std::string::npos) << message_;
}

TEST_P(Faults, AreNotFoundElsewhere) {
  for (const Schedule schedule : {Schedule::first_in, Schedule::last_in, Schedule::random}) {
    for (const Landing landing : {Landing::late, Landing::at_once, Landing::random}) {
      options().schedule = schedule;
      options().landing = landing;
      std::vector<float> out;
      EXPECT_EQ(run_on(false, out), cudaSuccess) << message_;
      for (size_t i = 0; i < out.size(); i++) {
        EXPECT_EQ(out[i], in_[(i + 32) % in_.size()] + 1) << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, Faults, testing::ValuesIn(kFaults), [](const auto& test) {
  return test.param.name;
});

}  // namespace
}  // namespace cuda_emulator
