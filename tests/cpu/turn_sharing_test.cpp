// What turns keys for ADMS is as large as many sequences, and the same for all of a model.

#include <vector>

#include <gtest/gtest.h>

#include "cpu/tiny_model.h"
#include "support/held_memory.h"
#include "support/seed.h"

namespace dms::cpu {
namespace {

using testing_support::held_bytes;
using testing_support::seed;

TEST(Turns, AreTabledOnceForAllSequencesOfAModel) {
  constexpr int64_t kHeadDim = 64;
  constexpr int64_t kTableBytes = int64_t{5} * 128 * kHeadDim * sizeof(float);
  const CacheOptions cache{.policy = "adms",
                           .policy_args = {{"compressor_type", "vq"},
                                           {"start_size", "3"},
                                           {"enable_dynamic_sink", "false"},
                                           {"recent_size", "20"},
                                           {"compressed_budget", "18"},
                                           {"prompt_interval", "8"}}};
  CpuModel model = tiny_model({.head_dim = kHeadDim}, seed());
  std::vector<Line> lines;
  const auto bytes_of_one_more = [&] {
    const int64_t before = held_bytes;
    lines.emplace_back(model, cache, 64);
    lines.back().append(random_ids(100, model.vocab(), seed()));
    return held_bytes - before;
  };
  EXPECT_GT(bytes_of_one_more(), kTableBytes) << "no key is turned";
  EXPECT_LT(bytes_of_one_more(), kTableBytes);
}

}  // namespace
}  // namespace dms::cpu
