// What decode attention moves, as the emulator counts it: keys and values once, by whole sectors,
// and no bank of shared memory asked for two words at once. Lower bounds of time, never a speed.

#include <cstdint>
#include <string>

#include <gtest/gtest.h>

#include "cuda/decode_case.h"
#include "cuda_emulator/cuda_emulator.h"

namespace dms::cuda {
namespace {

constexpr double kSectorBytes = 32.0;

/// Each row of keys and values that counts is asked for once, by sectors that hold nothing else.
void expect_read_once(const cuda_emulator::Report& report, int64_t visible_bytes) {
  const auto visible = static_cast<double>(visible_bytes);
  EXPECT_EQ(report.async_bytes, static_cast<uint64_t>(visible_bytes));
  EXPECT_LE(static_cast<double>(report.unique_read_bytes), 1.02 * visible);
  uint64_t sectors = 0;
  for (const cuda_emulator::SiteReport& site : report.sites) {
    if (site.opcode.starts_with("cp.async")) sectors += site.units;
  }
  // 80 channels of a byte are two sectors and a half: the last row may share one with poison.
  EXPECT_LE(kSectorBytes * static_cast<double>(sectors), 1.005 * visible);
}

void expect_no_bank_asked_twice(const cuda_emulator::Report& report) {
  uint64_t units = 0;
  uint64_t ideal = 0;
  for (const cuda_emulator::SiteReport& site : report.sites) {
    if (!site.is_shared) continue;
    units += site.units;
    ideal += site.ideal;
    if (!site.opcode.starts_with("ldmatrix")) continue;
    EXPECT_EQ(site.units, site.ideal) << site.file << ":" << site.line;
  }
  // What is left is the reading of sums at a piece's end, for head_dim 80.
  EXPECT_LE(static_cast<double>(units), 1.01 * static_cast<double>(ideal));
}

class DecodeTraffic : public testing::TestWithParam<KvFormat> {};

TEST_P(DecodeTraffic, ReadsKeysAndValuesOnce) {
  cuda_emulator::options().profile = true;
  for (const int32_t head_dim : {64, 80, 96, 128}) {
    SCOPED_TRACE("head_dim " + std::to_string(head_dim));
    DecodeProblem problem(
        {.head_dim = head_dim,
         .kv_heads = 2,
         .group = 4,
         .format = GetParam(),
         .blocks = 4,
         .ring_pages = 9,
         .rows = {{.position = 1255, .sealed_end = 1000, .window = 255, .survivors = 1040}}});
    problem.plan();
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    cuda_emulator::clear_reports();
    problem.attend(0);
    ASSERT_EQ(cuda_emulator::reports().size(), 1u) << "one launch a layer";
    const cuda_emulator::Report& report = cuda_emulator::reports().back();
    expect_read_once(report, problem.cache().visible_bytes(0));
    expect_no_bank_asked_twice(report);
    // Keys by 16 queries (at least 8 of them none), values by 8.
    const int32_t pages = problem.cache().pages(0, 0, 0) + problem.cache().pages(0, 0, 1);
    EXPECT_EQ(report.matrix_flop, double{2 * kPageTokens * (16 + 8)} * pages * head_dim);
  }
}

INSTANTIATE_TEST_SUITE_P(Formats,
                         DecodeTraffic,
                         testing::Values(KvFormat::bf16, KvFormat::fp8, KvFormat::int8));

}  // namespace
}  // namespace dms::cuda
