// A model opened by its options' device: what a program with CUDA does, in every format of weights.

#include "cuda/device.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cuda/device_buffer.h"
#include "dms/llm.h"
#include "support/errors.h"
#include "support/seed.h"
#include "support/temp_folder.h"

namespace dms::cuda {
namespace {

using testing::HasSubstr;
using testing_support::seed;

constexpr const char* kConfig = R"({
  "model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
  "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 64, "vocab_size": 96,
  "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "tie_word_embeddings": false})";

const std::vector<int32_t> kIds{3, 14, 15, 92, 65, 35, 89, 79, 32, 38, 46, 26, 43, 38, 32, 79};

class CudaDeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    DMS_NEEDS_CUDA_DEVICE();
    [[maybe_unused]] static const bool is_added = [] {
      add_cuda_device();
      return true;
    }();
  }

  static ModelOptions options(const std::string& device, const std::string& weights) {
    return {.weights = weights,
            .device = device,
            .max_step_tokens = 32,
            .max_sequences = 2,
            .kv_memory_bytes = 4 << 20};
  }

  ModelSource source(const ModelOptions& options) const {
    return ModelSource::with_random_weights(config_, seed(), options);
  }

  /// After kIds in pieces and one token more.
  std::vector<float> logits(const ModelOptions& options) const {
    LLM llm(source(options));
    Session session = llm.new_session({.policy = "random", .window_tokens = 8});
    session.append(kIds);
    const auto row = session.append(std::vector<int32_t>{50});
    return {row.begin(), row.end()};
  }

  static float distance(const std::vector<float>& a, const std::vector<float>& b) {
    float most = 0;
    float scale = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      most = std::max(most, std::abs(a[i] - b[i]));
      scale = std::max(scale, std::abs(b[i]));
    }
    return most / scale;
  }

  testing_support::TempFolder folder_;
  std::filesystem::path config_ = folder_.write("config.json", kConfig);
};

TEST_F(CudaDeviceTest, LogitsAreThoseOfTheCpu) {
  const std::vector<float> expected = logits(options("cpu", "bf16"));
  EXPECT_LT(distance(logits(options("cuda", "")), expected), 0.03f);
  // Three bits of mantissa under a scale a row; 16 levels, activations in 8 bits on the CPU.
  EXPECT_LT(distance(logits(options("cuda", "fp8")), expected), 0.15f);
  EXPECT_LT(distance(logits(options("cuda", "int4")), logits(options("cpu", "int4"))), 0.1f);
}

TEST_F(CudaDeviceTest, WhatItLacksIsRefusedBeforeWeightsAreRead) {
  const auto refusal = [&](const ModelOptions& asked) {
    return testing_support::input_error([&] { source(asked); });
  };
  EXPECT_THAT(refusal(options("cuda", "int8")), HasSubstr("weights: is not on the device cuda"));
  ModelOptions exact = options("cuda", "");
  exact.dtype = "f32";
  EXPECT_THAT(refusal(exact), HasSubstr("dtype: is not on the device cuda"));
  const ModelSource opened = source(options("cuda", "fp8"));
  EXPECT_EQ(opened.info().weights, "fp8");
  EXPECT_THAT(testing_support::input_error([&] { opened.check(CacheOptions{.policy = "tova"}); }),
              HasSubstr("policy: is not on the device cuda"));
}

}  // namespace
}  // namespace dms::cuda
