#include "dms/llm.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dms/error.h"
#include "support/seed.h"

namespace dms {
namespace {

using testing::HasSubstr;
using testing_support::seed;

constexpr const char* kConfig = R"({
  "model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
  "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 83,
  "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
  "rope_theta": 10000.0, "hidden_act": "silu"})";

constexpr int64_t kKibi = 1024;

LLM tiny_llm(const ModelOptions& options = {.dtype = "f32"}) {
  const auto path = std::filesystem::path(testing::TempDir()) / "llm_test_config.json";
  std::ofstream(path) << kConfig;
  return LLM::with_random_weights(path, seed(), options);
}

std::vector<int32_t> random_ids(int64_t count) {
  std::mt19937_64 random(seed());
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % 83);
  return ids;
}

std::string refusal(LLM& llm, const CacheOptions& options) {
  try {
    llm.new_session(options);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

TEST(Llm, OneMemoryLimitHoldsForAllOpenSessions) {
  LLM llm = tiny_llm();
  Session limited = llm.new_session({.memory_limit_bytes = 256 * kKibi});
  for (const std::string kv_dtype : {"", "bf16"}) {
    Session other = llm.new_session({.kv_dtype = kv_dtype});
    EXPECT_THROW(other.append(random_ids(2000)), RunError) << kv_dtype;
    EXPECT_GT(other.tokens(), 200);
    EXPECT_LE(other.kv().peak_bytes, 300 * kKibi) << "pages and tables";
    EXPECT_THROW(limited.append(random_ids(200)), RunError) << "the other one has the memory";
  }
  limited.append(random_ids(200));
}

TEST(Llm, AnotherLimitThanTheOpenSessionsIsRefused) {
  LLM llm = tiny_llm();
  {
    const Session open = llm.new_session({.memory_limit_bytes = 256 * kKibi});
    const std::string message = refusal(llm, {.memory_limit_bytes = 512 * kKibi});
    EXPECT_THAT(message, HasSubstr("--kv-memory"));
    EXPECT_THAT(message, HasSubstr("got 524288 bytes, expected 262144 bytes"));
    EXPECT_EQ(refusal(llm, {.memory_limit_bytes = 256 * kKibi}), "");
  }
  {
    const Session open = llm.new_session();
    EXPECT_THAT(refusal(llm, {.memory_limit_bytes = 512 * kKibi}), HasSubstr("expected none"));
  }
  EXPECT_EQ(refusal(llm, {.memory_limit_bytes = 512 * kKibi}), "") << "no session is open";
  EXPECT_THAT(refusal(llm, {.memory_limit_bytes = -1}), HasSubstr("--kv-memory: out of range"));
  EXPECT_THAT(refusal(llm, {.preallocate_tokens = -1}), HasSubstr("--preallocate: out of range"));
}

TEST(Llm, MemoryOfSeveralSessionsIsCountedOnce) {
  LLM llm = tiny_llm();
  std::vector<Session> sessions;
  for (int i = 0; i < 8; ++i) {
    sessions.push_back(llm.new_session());
    sessions.back().append(random_ids(500));
  }
  const KvStats all = llm.kv(sessions);
  const KvStats one = sessions.front().kv();
  EXPECT_EQ(all.dense_tokens, 8 * one.dense_tokens);
  EXPECT_EQ(all.held_per_head[1][1], 8 * one.held_per_head[1][1]);
  EXPECT_GE(all.peak_bytes, all.allocated_bytes);
  EXPECT_LE(all.peak_bytes, all.allocated_bytes * 5 / 4);  // pages a chunk held for a while
}

struct StorageTypes {
  std::string dtype{};
  std::string weights{};
  std::string kv_dtype{};

  int64_t survivor_bytes() const { return (kv_dtype.empty() ? dtype : kv_dtype) == "f32" ? 4 : 2; }
};

void PrintTo(const StorageTypes& types, std::ostream* os) {
  *os << types.dtype << " weights '" << types.weights << "' kv '" << types.kv_dtype << "'";
}

class EveryStorageType : public testing::TestWithParam<StorageTypes> {};

/// Logits after the last of 400 tokens, 300 of them prefilled and the rest appended one by one.
std::vector<float> last_logits(const StorageTypes& types) {
  LLM llm = tiny_llm({.dtype = types.dtype, .weights = types.weights});
  Session session = llm.new_session({.policy = "random",
                                     .policy_args = {{"cr", "2"}},
                                     .window_tokens = 50,
                                     .kv_dtype = types.kv_dtype});
  const std::vector<int32_t> ids = random_ids(400);
  std::span<const float> row = session.append(std::span(ids).first(300));
  for (size_t i = 300; i < ids.size(); ++i) row = session.append(std::span(ids).subspan(i, 1));
  const KvStats kv = session.kv();
  EXPECT_EQ(kv.dense_bytes, kv.dense_tokens * 2 * 16 * types.survivor_bytes());
  return {row.begin(), row.end()};
}

TEST_P(EveryStorageType, GivesTheLogitsOfFloat32UpToRounding) {
  const std::vector<float> expected = last_logits({.dtype = "f32"});
  const std::vector<float> got = last_logits(GetParam());
  float scale = 0;
  for (const float value : expected) scale = std::max(scale, std::abs(value));
  float error = 0;
  for (size_t i = 0; i < got.size(); ++i) error = std::max(error, std::abs(got[i] - expected[i]));
  // Each of about 16 products and stores in a row is off by half a unit in bf16's last place.
  EXPECT_LE(error, 16 * 0x1p-9f * scale);
  EXPECT_GT(error, 0) << "the option does nothing";
}

std::string types_name(const testing::TestParamInfo<StorageTypes>& info) {
  return info.param.dtype + "_" + info.param.weights + "_" + info.param.kv_dtype;
}

INSTANTIATE_TEST_SUITE_P(Llm,
                         EveryStorageType,
                         testing::Values(StorageTypes{"f32", "", "bf16"},
                                         StorageTypes{"f32", "bf16", ""},
                                         StorageTypes{"f32", "bf16", "bf16"},
                                         StorageTypes{"bf16", "", ""},
                                         StorageTypes{"bf16", "bf16", "f32"}),
                         types_name);

}  // namespace
}  // namespace dms
