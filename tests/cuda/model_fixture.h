#pragma once
// What tests of whole models on the device start from: a small model of each kind, and the answer
// of one prompt in chunks of 64, which all else is held to.

#include <algorithm>
#include <iterator>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/npy.h"
#include "cpu/rows.h"
#include "cpu/sequence_cases.h"
#include "cuda/device_buffer.h"
#include "cuda/tiny_cuda_model.h"
#include "support/seed.h"
#include "support/temp_folder.h"

namespace dms::cuda {

constexpr int64_t kTokens = 76;

// Keys, values and what products read are rounded to bf16 on both sides, attention's weights on the
// device alone: a few last places through two layers.
constexpr float kTolerance = 6 * 0x1p-8f;

struct ModelCase {
  std::string name;
  cpu::TinyShape shape;
  CacheOptions cache;

  float tolerance() const {
    return cache.kv_dtype.empty() ? kTolerance : std::max(kTolerance, cpu::kInt8Tolerance);
  }
};

inline void PrintTo(const ModelCase& c, std::ostream* os) { *os << c.name; }

/// As GPT-NeoX: LayerNorm, branches side by side, biases everywhere, heads that turn in part.
inline void make_parallel(ModelSpec& spec) {
  spec.norm = dms::NormKind::layer;
  spec.norm_has_bias = true;
  spec.parallel_residual = true;
  spec.qkv_layout = QkvLayout::per_head;
  spec.qkv_bias = true;
  spec.output_bias = true;
  spec.mlp_bias = true;
  spec.gated_mlp = false;
  spec.activation = Activation::gelu;
  spec.rope.rotary_dim = 16;
}

/// As Falcon and Phi-3: one norm for both branches, fused projections.
inline void make_shared_norm(ModelSpec& spec) {
  spec.norm = dms::NormKind::layer;
  spec.parallel_residual = true;
  spec.shared_norm = true;
  spec.qkv_layout = QkvLayout::per_group;
  spec.fused_gate_up = true;
}

inline std::vector<ModelCase> model_cases() {
  const auto random = [](int64_t window, const char* dtype = "") {
    return CacheOptions{.policy = "random",
                        .policy_args = {{"cr", "3"}},
                        .window_tokens = window,
                        .kv_dtype = dtype};
  };
  return {
      {"none", {}, {.policy = "none"}},
      {"none_int8", {.group = 3}, {.policy = "none", .window_tokens = 20, .kv_dtype = "int8"}},
      {"adapter_fp8_96",
       {.head_dim = 96, .dms = cpu::dms_spec(DmsSource::adapter, 1, 16)},
       {.kv_dtype = "fp8"}},
      {"neuron_shift0_qknorm",
       {.kv_heads = 3,
        .group = 1,
        .qk_norm = true,
        .qkv_bias = true,
        .dms = cpu::dms_spec(DmsSource::neuron, 0, 31)},
       {}},
      {"adapter_per_layer_80",
       {.group = 4, .head_dim = 80, .dms = cpu::dms_spec(DmsSource::adapter, 1, 1, true)},
       {}},
      {"parallel", {.group = 1, .change = make_parallel}, random(20)},
      {"shared_norm", {.change = make_shared_norm}, random(20)},
      {"random_int8_128", {.kv_heads = 1, .group = 8, .head_dim = 128}, random(0, "int8")},
      {"kvzap", {.kvzap = KvzapSpec{.threshold = 0.0, .window = 12}}, {}},
      {"kvzap_mlp", {.kvzap = KvzapSpec{.threshold = 0.0, .window = 12, .hidden = 32}}, {}},
      {"streaming",
       {},
       {.policy = "streaming", .policy_args = {{"start_size", "3"}, {"recent_size", "20"}}}},
  };
}

inline int64_t differing(std::span<const uint8_t> a, std::span<const uint8_t> b) {
  int64_t count = 0;
  for (size_t i = 0; i < a.size(); ++i) count += a[i] != b[i] ? 1 : 0;
  return count;
}

class CudaModelTest : public testing::TestWithParam<ModelCase> {
 protected:
  /// Products are the same in all cases.
  virtual bool multiplies_on_host() const { return GetParam().name != "adapter_fp8_96"; }

  void SetUp() override {
    DMS_NEEDS_CUDA_DEVICE();
    spec_ = tiny_cuda_spec(GetParam().shape);
    source_ = random_weights(spec_, testing_support::seed());
    model_ = tiny_cuda_model(spec_, *source_, {.multiplies_on_host = multiplies_on_host()});
    ids_ = cpu::random_ids(kTokens, spec_.vocab, testing_support::seed());
  }

  void TearDown() override {
    if (!model_) return;
    EXPECT_EQ(model_->memory().used_bytes, 0) << "pages were left behind";
  }

  cpu::Line fresh(int64_t chunk) { return cpu::Line(*model_, GetParam().cache, chunk); }

  std::span<const int32_t> part(int64_t begin, int64_t end) const {
    return std::span(ids_).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  }

  /// Logits of all tokens in chunks of 64, and the decisions.
  cpu::Rows reference() {
    cpu::Rows rows;
    cpu::Line line = fresh(64);
    line.append(ids_, cpu::into(rows));
    decisions_ = line.decisions();
    return rows;
  }

  /// Decisions first. Those of the first layer don't depend on attention; in the others a logit may
  /// lie within rounding of zero, and a line with other decisions is held to its own.
  void expect_same(const cpu::Line& line,
                   const cpu::Rows& rows,
                   const cpu::Rows& expected,
                   int64_t first) {
    const std::vector<uint8_t> decisions = line.decisions();
    const float tolerance = GetParam().tolerance();
    if (decisions == decisions_) return cpu::expect_rows(rows, expected, first, tolerance, "");
    const int64_t of_layer = spec_.kv_heads * kTokens;
    EXPECT_TRUE(std::equal(decisions.begin(), decisions.begin() + of_layer, decisions_.begin()));
    EXPECT_LE(differing(decisions, decisions_), std::ssize(decisions) / 50);
    cpu::expect_rows(rows, forced(*model_, decisions), first, tolerance, "its own decisions");
  }

  /// Logits of all tokens under decisions that are given.
  cpu::Rows forced(engine::Model& model, std::span<const uint8_t> decisions) {
    const testing_support::TempFolder folder;
    const auto file = folder.path() / "decisions.npy";
    write_npy_bytes(file,
                    {.shape = {spec_.layers, spec_.kv_heads, kTokens},
                     .values = {decisions.begin(), decisions.end()}});
    const CacheOptions cache{.policy = "forced",
                             .decisions_file = file,
                             .window_tokens = model.plan(GetParam().cache)->window_tokens(),
                             .kv_dtype = GetParam().cache.kv_dtype};
    cpu::Rows rows;
    cpu::Line line(model, cache, 64);
    line.append(ids_, cpu::into(rows));
    const std::vector<uint8_t> same = line.decisions();
    EXPECT_TRUE(std::ranges::equal(same, decisions));
    return rows;
  }

  ModelSpec spec_;
  std::unique_ptr<WeightSource> source_;
  std::unique_ptr<CudaModel> model_;
  std::vector<int32_t> ids_;
  std::vector<uint8_t> decisions_;
};

/// What no kernel but those that move pages and tables adds to: fewer cases will do.
class CudaSequenceTest : public CudaModelTest {
 protected:
  bool multiplies_on_host() const override { return true; }
};

inline std::vector<ModelCase> few_model_cases() {
  const auto is_one = [](const ModelCase& c) {
    return c.name == "none" || c.name == "adapter_fp8_96";
  };
  const std::vector<ModelCase> all = model_cases();
  std::vector<ModelCase> few;
  std::ranges::copy_if(all, std::back_inserter(few), is_one);
  return few;
}

constexpr auto kModelCaseName = [](const auto& item) { return item.param.name; };

}  // namespace dms::cuda
