// The engine runs what was exported: a student, and the base with the adapter alone.

#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "dms/llm.h"
#include "model/spec/adapter.h"
#include "support/errors.h"
#include "support/seed.h"
#include "train/export/adapter_folder.h"
#include "train/export/base_folder.h"
#include "train/export/student_folder.h"

namespace dms::train {
namespace {

namespace fs = std::filesystem;
using testing_support::BaseFolder;
using testing_support::expect_parts;
using testing_support::input_error;
using testing_support::NoiseWeights;
using testing_support::tiny_config;

constexpr size_t kTokens = 90;
const DmsSpec kDms{
    .source = DmsSource::adapter, .window = 16, .alpha_scale = 10.0, .alpha_offset = 0.0};

struct Scored {
  std::vector<float> logits;  // [tokens, vocab]
  std::vector<uint8_t> decisions;
  int64_t held_tokens = 0;
};

Scored score(const fs::path& folder, const ModelOptions& options, const CacheOptions& cache = {}) {
  LLM llm(folder, options);
  Session session = llm.new_session(cache);
  std::mt19937_64 random(testing_support::seed());
  std::vector<int32_t> ids(kTokens);
  const auto vocab = static_cast<uint64_t>(llm.info().vocab);
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % vocab);
  Scored scored;
  session.append_scored(ids, [&](int64_t, std::span<const float> row) {
    scored.logits.insert(scored.logits.end(), row.begin(), row.end());
  });
  scored.decisions = session.decisions();
  scored.held_tokens = session.kv().held_tokens;
  return scored;
}

class RunStudent : public ::testing::TestWithParam<std::string_view> {
 protected:
  RunStudent() {
    const auto source = layer_weights(base.open(), std::make_unique<NoiseWeights>(6));
    ModelSpec spec = base.spec();
    spec.dms = kDms;
    write_adapter_folder(adapter, spec, 0.1, *source);
    write_student_folder(base.path(), student, {.dms = kDms, .dtype = DType::f32}, *source);
  }

  const BaseFolder base{tiny_config(GetParam())};
  const fs::path adapter = base.beside("adapter");
  const fs::path student = base.beside("student");
};

TEST_P(RunStudent, TheBaseWithItsAdapterIsTheStudent) {
  for (const char* dtype : {"f32", "bf16"}) {
    const Scored merged = score(student, {.dtype = dtype});
    const Scored layered = score(base.path(), {.dtype = dtype, .adapter = adapter});
    EXPECT_EQ(layered.logits, merged.logits) << dtype;
    EXPECT_EQ(layered.decisions, merged.decisions);
    EXPECT_EQ(layered.held_tokens, merged.held_tokens);
    const auto evicted = std::ranges::count(merged.decisions, uint8_t{1});
    EXPECT_GT(evicted, std::ssize(merged.decisions) / 10);  // the comparison is about something
    EXPECT_LT(evicted, std::ssize(merged.decisions) * 9 / 10);
    EXPECT_LT(merged.held_tokens, std::ssize(merged.decisions));
  }
}

TEST_P(RunStudent, WithoutEvictionItIsTheBase) {
  const Scored plain = score(base.path(), {.dtype = "f32"});
  const Scored exported = score(student, {.dtype = "f32"}, {.policy = "none"});
  EXPECT_EQ(exported.logits, plain.logits);
  const fs::path rounded = base.beside("rounded");
  const auto source = layer_weights(base.open(), std::make_unique<NoiseWeights>(6));
  write_student_folder(base.path(), rounded, {.dms = kDms}, *source);
  EXPECT_EQ(score(rounded, {.dtype = "f32"}, {.policy = "none"}).logits, plain.logits);
}

TEST_P(RunStudent, AnAdapterShowsInTheModelsInfo) {
  const ModelInfo info = inspect_model(base.path(), adapter);
  ASSERT_TRUE(info.dms);
  EXPECT_EQ(info.dms->source, "adapter");
  EXPECT_EQ(info.dms->window, 16);
  EXPECT_EQ(info.dms->origin, (adapter / "adapter_config.json").string());
  EXPECT_EQ(info.parameters, inspect_model(student).parameters);
  EXPECT_FALSE(inspect_model(base.path()).dms);
  EXPECT_TRUE(inspect_model(base.path() / "config.json", adapter).dms);
  EXPECT_EQ(LLM(base.path(), {.adapter = adapter}).info().parameters, info.parameters);
}

TEST_P(RunStudent, ARandomModelTakesAnAdapterToo) {
  const auto llm = LLM::with_random_weights(base.path() / "config.json", 1, {.adapter = adapter});
  EXPECT_TRUE(llm.info().dms);
}

TEST_P(RunStudent, AStudentTakesNoSecondAdapter) {
  expect_parts(input_error([&] { LLM(student, {.adapter = adapter}); }),
               {"adapter", "already has trained eviction"});
  expect_parts(input_error([&] { inspect_model(student, adapter); }),
               {"adapter", "already has trained eviction"});
}

INSTANTIATE_TEST_SUITE_P(Registered,
                         RunStudent,
                         ::testing::ValuesIn(supported_model_types().begin(),
                                             supported_model_types().end()),
                         [](const auto& item) { return std::string(item.param); });

}  // namespace
}  // namespace dms::train
