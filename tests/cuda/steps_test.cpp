// What one model does for sequences of several kinds: its tables, its graphs, its choice of
// kernels.

#include <algorithm>
#include <array>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cpu/rows.h"
#include "cpu/sequence_cases.h"
#include "cuda/device_buffer.h"
#include "cuda/tiny_cuda_model.h"
#include "support/errors.h"
#include "support/seed.h"

namespace dms::cuda {
namespace {

using cpu::Line;
using cpu::Rows;
using testing::HasSubstr;
using testing_support::seed;

constexpr int64_t kTokens = 76;
constexpr float kTolerance = 6 * 0x1p-8f;  // as model_test.cpp's

CacheOptions random_of(int64_t window) {
  return {.policy = "random", .policy_args = {{"cr", "3"}}, .window_tokens = window};
}

TEST(CacheBanks, OfManyWindowsAreFewAndNoneIsTakenForAnother) {
  DMS_NEEDS_CUDA_DEVICE();
  const ModelSpec spec = tiny_cuda_spec({.layers = 1});
  const std::unique_ptr<WeightSource> source = random_weights(spec, seed());
  const auto model = tiny_cuda_model(spec, *source);
  const std::vector<int32_t> ids = cpu::random_ids(8, spec.vocab, seed());
  const auto line_of = [&](int64_t window) { return Line(*model, random_of(window), 1); };
  // So short that no window ends: all answer alike.
  Rows expected;
  for (int64_t window = 32; window <= 256; window += 32) {
    Rows rows;
    Line line = line_of(window);
    line.append(ids, cpu::into(rows));
    if (expected.empty()) expected = rows;
    EXPECT_EQ(rows, expected) << window;
    EXPECT_LE(model->store().banks(), kMostBanks);
  }
  std::vector<Line> lines;
  for (const int64_t window : {64, 96, 128, 160}) {
    lines.push_back(line_of(window));
    lines.back().append(ids);
  }
  Rows rows;
  Line shorter = line_of(32);
  shorter.append(ids, cpu::into(rows));
  EXPECT_EQ(rows, expected) << "in a longer ring";
  EXPECT_THROW(line_of(256).append(ids), RunError);
  lines.pop_back();
  line_of(256).append(ids);
  EXPECT_EQ(model->store().banks(), kMostBanks);
}

/// Logits of one prompt in three chunks.
Rows prompt_logits(const ModelSpec& spec, AttendPrompt attend_prompt) {
  const std::unique_ptr<WeightSource> source = random_weights(spec, seed());
  const auto model =
      tiny_cuda_model(spec, *source, {.multiplies_on_host = true, .attend_prompt = attend_prompt});
  Rows rows;
  Line line(*model, {.policy = "none"}, 30);
  line.append(cpu::random_ids(kTokens, spec.vocab, seed()), cpu::into(rows));
  return rows;
}

TEST(PromptAttention, OfAHopperServesTheHeadsItHasNoInstructionsFor) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int64_t head_dim : {80, 96}) {
    SCOPED_TRACE(head_dim);
    const ModelSpec spec = tiny_cuda_spec({.layers = 1, .head_dim = head_dim});
    EXPECT_EQ(prompt_logits(spec, prompt_attention(9)), prompt_logits(spec, prompt_attention(8)));
  }
}

TEST(PromptAttention, OfAHopperIsThatOfOtherDevices) {
  DMS_NEEDS_CUDA_SM90();
  for (const int64_t head_dim : {64, 128}) {
    SCOPED_TRACE(head_dim);
    const ModelSpec spec = tiny_cuda_spec({.layers = 1, .head_dim = head_dim});
    cpu::expect_rows(prompt_logits(spec, prompt_attention(9)),
                     prompt_logits(spec, prompt_attention(8)),
                     0,
                     kTolerance,
                     "wgmma");
  }
}

/// Decodes `ids` of every line in passes of them all; [line][token] logits.
std::vector<Rows> decode_together(CudaModel& model,
                                  std::span<Line> lines,
                                  std::span<const int32_t> ids) {
  std::vector<Rows> rows(lines.size());
  const auto vocab = static_cast<size_t>(model.vocab());
  for (size_t i = 0; i < ids.size(); ++i) {
    std::vector<engine::Part> parts;
    for (Line& line : lines) {
      parts.push_back({.sequence = &line.sequence()->state(),
                       .ids = ids.subspan(i, 1),
                       .logits = engine::LogitRows::last,
                       .decoded = true});
    }
    EXPECT_TRUE(model.reserve(parts));
    const std::span<const float> logits = model.forward(parts);
    for (size_t line = 0; line < lines.size(); ++line) {
      const std::span<const float> row = logits.subspan(line * vocab, vocab);
      rows[line].emplace_back(row.begin(), row.end());
    }
  }
  return rows;
}

// A pass over sequences whose rules, windows and formats differ takes a step for each kind.
TEST(MixedPass, GivesEachSequenceWhatItGetsAlone) {
  DMS_NEEDS_CUDA_DEVICE();
  const ModelSpec spec = tiny_cuda_spec({.layers = 2});
  const std::unique_ptr<WeightSource> source = random_weights(spec, seed());
  const std::vector<int32_t> ids = cpu::random_ids(kTokens, spec.vocab, seed());
  const std::span<const int32_t> prompt = std::span(ids).first(60);
  const std::span<const int32_t> rest = std::span(ids).subspan(60);
  CacheOptions coded = random_of(20);
  coded.kv_dtype = "int8";
  const std::array<CacheOptions, 4> plans{
      CacheOptions{.policy = "none"}, random_of(20), coded, random_of(70)};
  const auto model = tiny_cuda_model(spec, *source, {.multiplies_on_host = true});
  std::vector<Line> lines;
  for (const CacheOptions& plan : plans) {
    lines.emplace_back(*model, plan, 32);
    lines.back().append(prompt);
  }
  const std::vector<Rows> together = decode_together(*model, lines, rest);
  for (size_t i = 0; i < plans.size(); ++i) {
    std::vector<Line> alone;
    alone.emplace_back(*model, plans[i], 32);
    alone.back().append(prompt);
    cpu::expect_rows(decode_together(*model, alone, rest)[0], together[i], 0, kTolerance, "alone");
  }
}

// What is taken back in a slot is not yet known to the device when its next step is a graph.
TEST(Graphs, DecodeWhatWasTakenBackAnew) {
  DMS_NEEDS_CUDA_DEVICE();
  const ModelSpec spec = tiny_cuda_spec({.layers = 1});
  const std::unique_ptr<WeightSource> source = random_weights(spec, seed());
  const std::vector<int32_t> ids = cpu::random_ids(70, spec.vocab, seed());
  const std::vector<int32_t> wrong = cpu::random_ids(5, spec.vocab, seed() + 1);
  const std::span<const int32_t> prompt = std::span(ids).first(60);
  const std::span<const int32_t> rest = std::span(ids).subspan(60);
  const auto model = tiny_cuda_model(spec, *source);
  std::vector<Line> lines;
  lines.emplace_back(*model, random_of(20), 32);
  lines[0].append(prompt);
  const std::vector<Rows> expected = decode_together(*model, lines, rest);
  for (int turn = 0; turn < 2; ++turn) {
    lines[0].truncate(60);
    decode_together(*model, lines, wrong);
    lines[0].truncate(60);
    // More is sealed than the first time, which is summed in another order.
    const std::vector<Rows> again = decode_together(*model, lines, rest);
    cpu::expect_rows(again[0], expected[0], 0, kTolerance, "again");
  }
}

TEST(CudaOptions, WhatTheDeviceLacksIsRefusedByName) {
  DMS_NEEDS_CUDA_DEVICE();
  const ModelSpec spec = tiny_cuda_spec({.layers = 1});
  const std::unique_ptr<WeightSource> source = random_weights(spec, seed());
  const auto model = tiny_cuda_model(spec, *source);
  const auto refusal = [&](const CacheOptions& cache) {
    return testing_support::input_error([&] { model->plan(cache); });
  };
  EXPECT_THAT(refusal({.policy = "tova"}), HasSubstr("policy: is not on the device cuda"));
  EXPECT_THAT(refusal({.policy = "streaming", .policy_args = {{"enable_pos_shift", "true"}}}),
              HasSubstr("enable_pos_shift"));
  EXPECT_THAT(refusal({.kv_dtype = "int4"}), HasSubstr("kv_dtype"));
  EXPECT_THAT(refusal({.kv_dtype = "k=int8,v=fp8"}), HasSubstr("kv_dtype"));
  EXPECT_THAT(refusal({.kv_dtype = "int8", .kv_exact_layers = 1}), HasSubstr("kv_exact_layers"));
  EXPECT_THAT(refusal({.preallocate_tokens = 64}), HasSubstr("preallocate_tokens"));
}

}  // namespace
}  // namespace dms::cuda
