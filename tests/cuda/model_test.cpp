// The whole model on the device: decisions and logits are the CPU's, however a sequence is cut into
// chunks, turns and batches, taken back, branched, parked or saved.

#include <algorithm>
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

constexpr int64_t kTokens = 90;

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
      {"adapter_shift1", {.dms = cpu::dms_spec(DmsSource::adapter, 1, 16)}, {}},
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
      {"random_fp8_96", {.head_dim = 96}, random(20, "fp8")},
      {"random_int8_128", {.kv_heads = 1, .group = 8, .head_dim = 128}, random(0, "int8")},
      {"kvzap", {.kvzap = KvzapSpec{.threshold = 0.0, .window = 12}}, {}},
      {"kvzap_mlp", {.kvzap = KvzapSpec{.threshold = 0.0, .window = 12, .hidden = 32}}, {}},
      {"streaming",
       {},
       {.policy = "streaming", .policy_args = {{"start_size", "3"}, {"recent_size", "20"}}}},
  };
}

class CudaModelTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    DMS_NEEDS_CUDA_DEVICE();
    spec_ = tiny_cuda_spec(GetParam().shape);
    source_ = random_weights(spec_, seed());
    model_ = tiny_cuda_model(spec_, *source_);
    ids_ = cpu::random_ids(kTokens, spec_.vocab, seed());
  }

  void TearDown() override {
    if (model_) EXPECT_EQ(model_->memory().used_bytes, 0) << "pages were left behind";
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

  void expect_same(const Line& line, const Rows& rows, const Rows& expected, int64_t first) {
    EXPECT_EQ(line.decisions(), decisions_);
    cpu::expect_rows(rows, expected, first, GetParam().tolerance(), "device");
  }

  ModelSpec spec_;
  std::unique_ptr<WeightSource> source_;
  std::unique_ptr<CudaModel> model_;
  std::vector<int32_t> ids_;
  std::vector<uint8_t> decisions_;
};

int64_t differing(std::span<const uint8_t> a, std::span<const uint8_t> b) {
  int64_t count = 0;
  for (size_t i = 0; i < a.size(); ++i) count += a[i] != b[i] ? 1 : 0;
  return count;
}

// Where a logit lies within rounding of zero the CPU is given the device's decision (semantics.md
// section 1).
TEST_P(CudaModelTest, DecisionsAndLogitsAreTheCpus) {
  const Rows rows = reference();
  cpu::CpuModel cpu_model = cpu::tiny_model(spec_, *source_, DType::bf16);
  Line cpu_line(cpu_model, GetParam().cache, 64);
  cpu_line.append(ids_);
  ASSERT_EQ(cpu_line.decisions().size(), decisions_.size());
  EXPECT_LE(differing(decisions_, cpu_line.decisions()), std::ssize(decisions_) / 50);

  const testing_support::TempFolder folder;
  const auto file = folder.path() / "decisions.npy";
  write_npy_bytes(file, {.shape = {spec_.layers, spec_.kv_heads, kTokens}, .values = decisions_});
  const auto window = cpu_model.plan(GetParam().cache)->window_tokens();
  const CacheOptions forced{.policy = "forced",
                            .decisions_file = file,
                            .window_tokens = window,
                            .kv_dtype = GetParam().cache.kv_dtype};
  Rows expected;
  Line(cpu_model, forced, 64).append(ids_, cpu::into(expected));
  cpu::expect_rows(rows, expected, 0, GetParam().tolerance(), "device beside the CPU");

  // The device's own `forced` is no other.
  Rows known;
  Line line(*model_, forced, 64);
  line.append(ids_, cpu::into(known));
  expect_same(line, known, rows, 0);
}

TEST_P(CudaModelTest, EveryChunkingGivesTheSame) {
  const Rows expected = reference();
  for (const int64_t chunk : {1, 31, 33, 90}) {
    SCOPED_TRACE(chunk);
    Rows rows;
    Line line = fresh(chunk);
    line.append(ids_, cpu::into(rows));
    expect_same(line, rows, expected, 0);
  }
}

TEST_P(CudaModelTest, TurnsOfPrefillAndDecodeGiveTheSame) {
  const Rows expected = reference();
  Rows rows;
  Line line = fresh(32);
  int64_t done = 0;
  for (const int64_t step : {40, 1, 1, 1, 20, 1, 1, 9, 1, 1, 1, 1, 12}) {
    line.append(part(done, done + step), cpu::into(rows));
    done += step;
  }
  ASSERT_EQ(done, kTokens);
  expect_same(line, rows, expected, 0);
}

TEST_P(CudaModelTest, RollbackLeavesNoTrace) {
  const Rows expected = reference();
  const std::vector<int32_t> wrong = cpu::random_ids(60, spec_.vocab, seed() + 1);
  for (const int64_t extra : {1, 32, 60}) {
    SCOPED_TRACE(extra);
    Line line = fresh(32);
    line.append(part(0, 70));
    line.append(std::span(wrong).first(static_cast<size_t>(extra)));
    line.truncate(70);
    Rows rows;
    line.append(part(70, kTokens), cpu::into(rows));
    expect_same(line, rows, expected, 70);
  }
}

TEST_P(CudaModelTest, BranchesDoNotDisturbEachOther) {
  const Rows expected = reference();
  const std::vector<int32_t> other = cpu::random_ids(20, spec_.vocab, seed() + 2);
  Line line = fresh(32);
  line.append(part(0, 77));
  Line branch = line.fork();
  const int64_t held = line.sequence()->state().held_bytes();
  EXPECT_EQ(model_->memory().used_bytes, held) << "a branch shares all";
  branch.append(other);
  Rows rows;
  line.append(part(77, kTokens), cpu::into(rows));
  expect_same(line, rows, expected, 77);
  rows.clear();
  branch.truncate(77);
  branch.append(part(77, kTokens), cpu::into(rows));
  expect_same(branch, rows, expected, 77);
}

// More sequences than the device has slots: some of each pass are parked before the next.
TEST_P(CudaModelTest, ABatchGivesEachSequenceWhatItGetsAlone) {
  const Rows expected = reference();
  engine::Engine engine(*model_, {}, {.chunk_tokens = 32, .max_step_tokens = 64});
  std::vector<Line> lines;
  const std::vector<int64_t> lengths{3, 88, 50, 33, 64, 70};
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

TEST_P(CudaModelTest, ASavedSequenceGoesOn) {
  const auto written = [](const Line& line) {
    ByteWriter out;
    line.sequence()->write(out);
    return std::string(out.data());
  };
  const Rows expected = reference();
  for (const int64_t at : {1, 32, 83}) {
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

TEST_P(CudaModelTest, CountsWhatTheCpuCounts) {
  cpu::CpuModel cpu_model = cpu::tiny_model(spec_, *source_, DType::bf16);
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

INSTANTIATE_TEST_SUITE_P(Cases, CudaModelTest, testing::ValuesIn(cases()), [](const auto& item) {
  return item.param.name;
});

}  // namespace
}  // namespace dms::cuda
