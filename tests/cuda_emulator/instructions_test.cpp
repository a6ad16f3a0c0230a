// Instructions that kernels use, against their meaning.

#include <vector>

#include <gtest/gtest.h>

#include "cuda_emulator/probe.h"

namespace cuda_emulator {

void PrintTo(const ProbeCase& probe, std::ostream* out) { *out << probe.name; }

namespace {

class Instructions : public testing::TestWithParam<ProbeCase> {};

TEST_P(Instructions, GiveWhatTheyMean) { EXPECT_EQ(GetParam().run(), ""); }

std::string name_of(const testing::TestParamInfo<ProbeCase>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Integer, Instructions, testing::ValuesIn(integer_cases()), name_of);
INSTANTIATE_TEST_SUITE_P(Real, Instructions, testing::ValuesIn(real_cases()), name_of);
INSTANTIATE_TEST_SUITE_P(Warp, Instructions, testing::ValuesIn(warp_cases()), name_of);

}  // namespace
}  // namespace cuda_emulator
