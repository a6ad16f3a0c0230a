#include "kernels/isa.h"

#include <cstdlib>

#include <gtest/gtest.h>

#include "dms/error.h"
#include "kernels/isas.h"
#include "kernels/probe.h"

namespace dms::kernels {
namespace {

TEST(Isa, ScopedIsaForcesAndRestores) {
  const Isa before = active_isa();
  {
    const ScopedIsa outer(Isa::generic);
    EXPECT_EQ(active_isa(), Isa::generic);
    for (const Isa isa : isas_of_this_cpu()) {
      const ScopedIsa inner(isa);
      EXPECT_EQ(active_isa(), isa);
    }
    EXPECT_EQ(active_isa(), Isa::generic);
  }
  EXPECT_EQ(active_isa(), before);
}

TEST(Isa, NamesAreDistinct) {
  EXPECT_EQ(isa_name(Isa::generic), "generic");
  EXPECT_EQ(isa_name(Isa::avx2), "avx2");
  EXPECT_EQ(isa_name(Isa::avx512), "avx512");
}

/// active_isa() is fixed at first use, so each choice is tried in a process of its own.
int name_in_child(const char* wanted) {
  ::setenv("DMS_ISA", wanted, 1);
  try {
    return isa_name(active_isa()) == wanted ? 0 : 3;
  } catch (const InputError& error) {
    return std::string_view(error.what()).find("DMS_ISA") == std::string_view::npos ? 4 : 2;
  }
}

TEST(IsaDeathTest, EnvironmentChoosesTheIsa) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  for (const char* name : {"generic", "avx2", "avx512"}) {
    bool has = false;
    for (const Isa isa : isas_of_this_cpu()) has = has || isa_name(isa) == name;
    EXPECT_EXIT(std::_Exit(name_in_child(name)), testing::ExitedWithCode(has ? 0 : 2), "") << name;
  }
  EXPECT_EXIT(std::_Exit(name_in_child("sse9")), testing::ExitedWithCode(2), "");
}

TEST(Probe, FindsBoundsAboveZeroOnEveryIsa) {
  for (const Isa isa : isas_of_this_cpu()) {
    SCOPED_TRACE(isa_name(isa));
    const ScopedIsa forced(isa);
    const ProbeResult result = probe(1);
    EXPECT_GT(result.read_gb_s, 0.0);
    EXPECT_GT(result.f32_gflop_s, 0.0);
    EXPECT_EQ(result.bf16_gflop_s > 0.0, isa == Isa::avx512);
    EXPECT_EQ(result.int8_gop_s > 0.0, isa != Isa::generic);
  }
}

}  // namespace
}  // namespace dms::kernels
