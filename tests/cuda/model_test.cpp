// The whole model on the device: decisions and logits are the CPU's, however a sequence is cut into
// chunks, turns and batches, taken back, branched, parked or saved.

#include <algorithm>
#include <iterator>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/npy.h"
#include "cpu/rows.h"
#include "cpu/sequence_cases.h"
#include "cuda/device_buffer.h"
#include "cuda/tiny_cuda_model.h"
#include "support/seed.h"
#include "support/temp_folder.h"

namespace dms::cuda {
namespace {

using cpu::Line;
using cpu::Rows;
using testing_support::seed;

constexpr int64_t kTokens = 76;

// Keys, values and what products read are rounded to bf16 on both sides, attention's weights on the
// device alone: a few last places through two layers.
constexpr float kTolerance = 6 * 0x1p-8f;

struct Case {
  std::string name;
  cpu::TinyShape shape;
  CacheOptions cache;

  float tolerance() const {
    return cache.kv_dtype.empty() ? kTolerance : std::max(kTolerance, cpu::kInt8Tolerance);
  }
};

void PrintTo(const Case& c, std::ostream* os) { *os << c.name; }

/// As GPT-NeoX: LayerNorm, branches side by side, biases everywhere, heads that turn in part.
void make_parallel(ModelSpec& spec) {
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
void make_shared_norm(ModelSpec& spec) {
  spec.norm = dms::NormKind::layer;
  spec.parallel_residual = true;
  spec.shared_norm = true;
  spec.qkv_layout = QkvLayout::per_group;
  spec.fused_gate_up = true;
}

std::vector<Case> cases() {
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

int64_t differing(std::span<const uint8_t> a, std::span<const uint8_t> b) {
  int64_t count = 0;
  for (size_t i = 0; i < a.size(); ++i) count += a[i] != b[i] ? 1 : 0;
  return count;
}

class CudaModelTest : public testing::TestWithParam<Case> {
 protected:
  /// Products are the same in all cases.
  virtual bool multiplies_on_host() const { return GetParam().name != "adapter_fp8_96"; }

  void SetUp() override {
    DMS_NEEDS_CUDA_DEVICE();
    spec_ = tiny_cuda_spec(GetParam().shape);
    source_ = random_weights(spec_, seed());
    model_ = tiny_cuda_model(spec_, *source_, {.multiplies_on_host = multiplies_on_host()});
    ids_ = cpu::random_ids(kTokens, spec_.vocab, seed());
  }

  void TearDown() override {
    if (!model_) return;
    EXPECT_EQ(model_->memory().used_bytes, 0) << "pages were left behind";
  }

  Line fresh(int64_t chunk) { return Line(*model_, GetParam().cache, chunk); }

  std::span<const int32_t> part(int64_t begin, int64_t end) const {
    return std::span(ids_).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  }

  /// Logits of all tokens in chunks of 64, and the decisions.
  Rows reference() {
    Rows rows;
    Line line = fresh(64);
    line.append(ids_, cpu::into(rows));
    decisions_ = line.decisions();
    return rows;
  }

  /// Decisions first. Those of the first layer don't depend on attention; in the others a logit may
  /// lie within rounding of zero, and a line with other decisions is held to its own.
  void expect_same(const Line& line, const Rows& rows, const Rows& expected, int64_t first) {
    const std::vector<uint8_t> decisions = line.decisions();
    const float tolerance = GetParam().tolerance();
    if (decisions == decisions_) return cpu::expect_rows(rows, expected, first, tolerance, "");
    const int64_t of_layer = spec_.kv_heads * kTokens;
    EXPECT_TRUE(std::equal(decisions.begin(), decisions.begin() + of_layer, decisions_.begin()));
    EXPECT_LE(differing(decisions, decisions_), std::ssize(decisions) / 50);
    cpu::expect_rows(rows, forced(*model_, decisions), first, tolerance, "its own decisions");
  }

  /// Logits of all tokens under decisions that are given.
  Rows forced(engine::Model& model, std::span<const uint8_t> decisions) {
    const testing_support::TempFolder folder;
    const auto file = folder.path() / "decisions.npy";
    write_npy_bytes(file,
                    {.shape = {spec_.layers, spec_.kv_heads, kTokens},
                     .values = {decisions.begin(), decisions.end()}});
    const CacheOptions cache{.policy = "forced",
                             .decisions_file = file,
                             .window_tokens = model.plan(GetParam().cache)->window_tokens(),
                             .kv_dtype = GetParam().cache.kv_dtype};
    Rows rows;
    Line line(model, cache, 64);
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

// Where a logit lies within rounding of zero the CPU is given the device's decision (semantics.md
// section 1).
TEST_P(CudaModelTest, DecisionsAndLogitsAreTheCpusInAnyChunks) {
  const Rows rows = reference();
  cpu::CpuModel cpu_model = cpu::tiny_model(spec_, *source_, DType::bf16);
  Line cpu_line(cpu_model, GetParam().cache, 64);
  cpu_line.append(ids_);
  ASSERT_EQ(cpu_line.decisions().size(), decisions_.size());
  EXPECT_LE(differing(decisions_, cpu_line.decisions()), std::ssize(decisions_) / 50);

  cpu::expect_rows(rows, forced(cpu_model, decisions_), 0, GetParam().tolerance(), "the CPU");

  Rows others;
  Line line = fresh(33);
  line.append(ids_, cpu::into(others));
  expect_same(line, others, rows, 0);
}

/// What no kernel but those that move pages and tables adds to: fewer cases will do.
class CudaSequenceTest : public CudaModelTest {
 protected:
  bool multiplies_on_host() const override { return true; }
};

std::vector<Case> few_cases() {
  const auto is_one = [](const Case& c) { return c.name == "none" || c.name == "adapter_fp8_96"; };
  const std::vector<Case> all = cases();
  std::vector<Case> few;
  std::ranges::copy_if(all, std::back_inserter(few), is_one);
  return few;
}

TEST_P(CudaSequenceTest, DecisionsOfAFileAreNoOthers) {
  const Rows rows = reference();
  cpu::expect_rows(rows, forced(*model_, decisions_), 0, GetParam().tolerance(), "forced");
}

TEST_P(CudaSequenceTest, TokenByTokenGivesTheSame) {
  const Rows expected = reference();
  Rows rows;
  Line line = fresh(1);
  line.append(ids_, cpu::into(rows));
  expect_same(line, rows, expected, 0);
}

TEST_P(CudaSequenceTest, TurnsOfPrefillAndDecodeGiveTheSame) {
  const Rows expected = reference();
  Rows rows;
  Line line = fresh(32);
  int64_t done = 0;
  for (const int64_t step : {40, 1, 1, 20, 1, 9, 1, 1, 2}) {
    line.append(part(done, done + step), cpu::into(rows));
    done += step;
  }
  ASSERT_EQ(done, kTokens);
  expect_same(line, rows, expected, 0);
}

TEST_P(CudaSequenceTest, RollbackLeavesNoTrace) {
  const Rows expected = reference();
  const std::vector<int32_t> wrong = cpu::random_ids(60, spec_.vocab, seed() + 1);
  for (const int64_t extra : {32, 40}) {
    SCOPED_TRACE(extra);
    Line line = fresh(32);
    line.append(part(0, 66));
    line.append(std::span(wrong).first(static_cast<size_t>(extra)));
    line.truncate(66);
    Rows rows;
    line.append(part(66, kTokens), cpu::into(rows));
    expect_same(line, rows, expected, 66);
  }
}

TEST_P(CudaSequenceTest, BranchesDoNotDisturbEachOther) {
  const Rows expected = reference();
  const std::vector<int32_t> other = cpu::random_ids(20, spec_.vocab, seed() + 2);
  Line line = fresh(32);
  line.append(part(0, 71));
  Line branch = line.fork();
  const int64_t held = line.sequence()->state().held_bytes();
  EXPECT_EQ(model_->memory().used_bytes, held) << "a branch shares all";
  branch.append(other);
  Rows rows;
  line.append(part(71, kTokens), cpu::into(rows));
  expect_same(line, rows, expected, 71);
  rows.clear();
  branch.truncate(71);
  branch.append(part(71, kTokens), cpu::into(rows));
  expect_same(branch, rows, expected, 71);
}

// A request that is preempted twice; the second time before the first replay has come to its end.
TEST_P(CudaSequenceTest, ASecondRestartForgetsNoDecision) {
  Line line = fresh(32);
  line.append(ids_);
  const std::vector<uint8_t> decisions = line.decisions();
  engine::SequenceState& state = line.sequence()->state();
  const auto append = [&](int64_t begin, int64_t end) {
    const std::vector<engine::Part> parts{{.sequence = &state, .ids = part(begin, end)}};
    model_->forward(parts);
  };
  state.restart(kTokens);
  append(0, 25);
  state.restart(kTokens);
  // Others than those that were decided about show that nothing is decided anew.
  const std::vector<int32_t> others = cpu::random_ids(kTokens, spec_.vocab, seed() + 3);
  const std::vector<engine::Part> parts{{.sequence = &state, .ids = others}};
  model_->forward(parts);
  EXPECT_EQ(state.decisions(), decisions);
}

TEST_P(CudaSequenceTest, ABranchTakesThePageThatItWrites) {
  Line line = fresh(32);
  line.append(part(0, 71));
  Line branch = line.fork();
  const int64_t before = model_->memory().used_bytes;
  branch.append(part(71, 72));
  const int64_t page = page_bytes(KvFormat::bf16, static_cast<int>(spec_.head_dim));
  // Of each head one of the window, and one of the survivors.
  EXPECT_LE(model_->memory().used_bytes - before, 2 * spec_.layers * spec_.kv_heads * page);
}

// The products of a layer are four: the sixth fails when the first layer has sealed.
TEST_P(CudaSequenceTest, AStepThatFailsLeavesNothingBehind) {
  int64_t left = -1;
  model_ = tiny_cuda_model(
      spec_, *source_, {.multiplies_on_host = true, .fails = [&] { return left-- == 0; }});
  const Rows expected = reference();
  Line line = fresh(32);
  Line other = fresh(32);
  line.append(part(0, 40));
  other.append(part(0, 66));
  engine::SequenceState& state = line.sequence()->state();
  const auto compute = [&](int64_t begin, int64_t end) {
    const std::vector<engine::Part> parts{{.sequence = &state, .ids = part(begin, end)}};
    model_->forward(parts);
  };
  for (const int64_t end : {60, 41}) {
    left = 5;
    EXPECT_THROW(compute(40, end), RunError);
    state.restart(40);
    EXPECT_EQ(model_->memory().used_bytes, other.sequence()->state().held_bytes());
    compute(0, 40);
  }
  Rows rows;
  line.append(part(40, kTokens), cpu::into(rows));
  expect_same(line, rows, expected, 40);
  rows.clear();
  other.append(part(66, kTokens), cpu::into(rows));
  expect_same(other, rows, expected, 66);
}

// A stream in a capture can be waited for as little as that of a device that has failed.
TEST_P(CudaSequenceTest, ADeviceThatFailsLetsSequencesGo) {
  Line line = fresh(32);
  line.append(part(0, 30));
  auto gone = std::make_unique<Line>(fresh(32));
  gone->append(part(0, 10));
  const cudaStream_t stream = model_->stream().get();
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_NO_THROW(line.sequence()->state().restart(30));
  EXPECT_NO_THROW(gone.reset());
  cudaGraph_t graph = nullptr;
  EXPECT_NE(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  cudaGetLastError();
  EXPECT_EQ(model_->memory().used_bytes, 0) << "nothing was sealed yet";
  EXPECT_EQ(line.sequence()->state().tokens(), 0);
}

// More sequences than the device has slots: some of each pass are parked before the next.
TEST_P(CudaSequenceTest, ABatchGivesEachSequenceWhatItGetsAlone) {
  const Rows expected = reference();
  engine::Engine engine(*model_, {}, {.chunk_tokens = 32, .max_step_tokens = 64});
  std::vector<Line> lines;
  const std::vector<int64_t> lengths{3, 74, 50, 33, 64, 70};
  std::vector<Rows> rows(lengths.size());
  for (size_t i = 0; i < lengths.size(); ++i) {
    lines.push_back(fresh(64));
    lines.back().append(part(0, lengths[i]));
  }
  for (size_t i = 0; i < lengths.size(); ++i) {
    const auto next = part(lengths[i], lengths[i] + (i % 2 == 0 ? 1 : 2));
    engine.submit(
        {.request = {.prompt = {next.begin(), next.end()}, .sampling = {.max_new_tokens = 0}},
         .sequence = lines[i].sequence(),
         .prompt_logits = engine::LogitRows::all,
         .on_logits = cpu::into(rows[i])});
  }
  while (engine.step()) {
  }
  for (size_t i = 0; i < lengths.size(); ++i) {
    cpu::expect_rows(rows[i], expected, lengths[i], GetParam().tolerance(), "batch");
  }
}

TEST_P(CudaSequenceTest, ASavedSequenceGoesOn) {
  const auto written = [](const Line& line) {
    ByteWriter out;
    line.sequence()->write(out);
    return std::string(out.data());
  };
  const Rows expected = reference();
  for (const int64_t at : {73}) {
    SCOPED_TRACE(at);
    Line line = fresh(32);
    line.append(part(0, at));
    const std::string data = written(line);
    ByteReader in(data, "saved");
    Line restored(*model_, engine::Sequence::read(in, *model_, model_->plan(GetParam().cache)), 32);
    in.require(in.left() == 0, "something follows");
    EXPECT_EQ(written(restored), data);
    Rows rows;
    restored.append(part(at, kTokens), cpu::into(rows));
    expect_same(restored, rows, expected, at);
  }
}

TEST_P(CudaSequenceTest, DamagedBytesAreRefusedOrHarmless) {
  Line line = fresh(40);
  line.append(ids_);
  ByteWriter out;
  line.sequence()->write(out);
  std::mt19937_64 random(seed());
  int refused = 0;
  for (int i = 0; i < 60; ++i) {
    std::string data(out.data());
    if (i % 3 == 0) data.resize(random() % data.size());
    // The numbers that matter stand at the front.
    for (uint64_t flips = i % 3 == 0 ? 0 : random() % 4 + 1; flips > 0; --flips) {
      data[random() % (i % 3 == 1 ? 600 : data.size())] ^= static_cast<char>(1u << random() % 8);
    }
    try {
      ByteReader in(data, "damaged");
      Line restored(
          *model_, engine::Sequence::read(in, *model_, model_->plan(GetParam().cache)), 32);
      if (i % 10 == 0) restored.append(part(0, 2));
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GE(refused, 20) << "those that end early at least";
}

TEST_P(CudaSequenceTest, CountsWhatItHolds) {
  Line line = fresh(40);
  line.append(ids_);
  const engine::SequenceState& state = line.sequence()->state();
  const std::vector<int32_t> held = state.held_heads();
  const std::vector<const engine::SequenceState*> states{&state};
  const KvStats kv = model_->usage(states);
  EXPECT_EQ(kv.dense_tokens, kTokens * spec_.layers * spec_.kv_heads);
  int64_t sum = 0;
  for (const int32_t count : held) sum += count;
  EXPECT_EQ(kv.held_tokens, sum);
  EXPECT_GE(kv.allocated_bytes, state.held_bytes());
  EXPECT_EQ(model_->memory().used_bytes, state.held_bytes());
}

constexpr auto kName = [](const auto& item) { return item.param.name; };
INSTANTIATE_TEST_SUITE_P(Cases, CudaModelTest, testing::ValuesIn(cases()), kName);
INSTANTIATE_TEST_SUITE_P(Cases, CudaSequenceTest, testing::ValuesIn(few_cases()), kName);

}  // namespace
}  // namespace dms::cuda
