// At the memory limit a request ends with what it has; its sequence is whole, the others go on, and
// everything can be taken up again once there is memory.

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include <gtest/gtest.h>

#include "cpu/tiny_model.h"
#include "dms/error.h"
#include "support/seed.h"

namespace dms::cpu {
namespace {

using testing_support::seed;

constexpr size_t kSequences = 8;
const int64_t kPageBytes =
    kernels::KvPageLayout{.format = kernels::KvFormat::f32, .head_dim = 16}.bytes();
const TinyShape kShape{
    .dms = DmsSpec{.source = DmsSource::adapter, .decision_shift = 1, .window = 16}};

using Ids = std::vector<int32_t>;

/// Eight prompts that generate together.
class Batch {
 public:
  Batch(CpuModel& model, const CacheOptions& cache)
      : model_(model), engine_(model, {}, {.chunk_tokens = 32, .max_step_tokens = 32}) {
    for (size_t i = 0; i < kSequences; ++i) {
      lines_.emplace_back(model, cache, 32);
      next_.push_back(random_ids(20, model.vocab(), seed() + i));
    }
  }

  /// Goes on until every answer has `tokens` tokens or met the limit; the number that met it.
  int64_t run(int64_t tokens) {
    int64_t stopped = 0;
    for (size_t i = 0; i < kSequences; ++i) {
      const int64_t left = tokens - std::ssize(answers_[i]);
      if (left == 0) continue;
      engine_.submit({.request = {.prompt = next_[i],
                                  .sampling = {.max_new_tokens = left, .ignore_eos = true},
                                  .sink =
                                      [this, i, &stopped](const Event& event) {
                                        if (const auto* end = std::get_if<FinishedEvent>(&event)) {
                                          take(i, end->result, stopped);
                                        }
                                      }},
                      .sequence = lines_[i].sequence()});
    }
    while (engine_.step()) {
    }
    return stopped;
  }

  const std::vector<Ids>& answers() const { return answers_; }

  void expect_whole() const {
    for (const Line& line : lines_) EXPECT_TRUE(line.sequence()->missing().empty());
  }

 private:
  void take(size_t i, const Generation& result, int64_t& stopped) {
    stopped += result.finish_reason == "error" ? 1 : 0;
    answers_[i].insert(answers_[i].end(), result.ids.begin(), result.ids.end());
    // What the sequence does not hold yet comes first when it is taken up again.
    Ids all = prompts_[i];
    if (all.empty()) all = prompts_[i] = next_[i];
    all.insert(all.end(), answers_[i].begin(), answers_[i].end());
    next_[i].assign(all.begin() + lines_[i].tokens(), all.end());
  }

  CpuModel& model_;
  std::vector<Line> lines_;
  std::vector<Ids> next_;
  std::vector<Ids> prompts_ = std::vector<Ids>(kSequences);
  std::vector<Ids> answers_ = std::vector<Ids>(kSequences);
  engine::Engine engine_;
};

struct Case {
  std::string name;
  CacheOptions cache;
};

void PrintTo(const Case& c, std::ostream* os) { *os << c.name; }

class MemoryLimit : public testing::TestWithParam<Case> {};

int64_t page_bytes(CpuModel& model, const Line& line) {
  const std::vector<const engine::SequenceState*> states{&line.sequence()->state()};
  return model.usage(states).allocated_bytes / kPageBytes * kPageBytes;
}

TEST_P(MemoryLimit, WhoMeetsItEndsWholeAndGoesOnWhenThereIsMemory) {
  constexpr int64_t kTokens = 60;
  CpuModel free_model = tiny_model(kShape, seed());
  Batch free_batch(free_model, GetParam().cache);
  ASSERT_EQ(free_batch.run(kTokens), 0);

  const std::vector<int32_t> filler = random_ids(1600, free_model.vocab(), seed());
  Line measured(free_model, {.policy = "none"}, 256);
  measured.append(filler);
  const int64_t filled = page_bytes(free_model, measured);
  // Between what the prompts take and what the last tokens need: each limit ends elsewhere.
  for (int64_t room_pages = 40; room_pages < 78; room_pages += 3) {
    CpuModel model = tiny_model(kShape, seed(), DType::f32, filled + room_pages * kPageBytes);
    std::optional<Line> other(std::in_place, model, CacheOptions{.policy = "none"}, 256);
    other->append(filler);
    Batch batch(model, GetParam().cache);
    EXPECT_GT(batch.run(kTokens), 0) << room_pages;
    batch.expect_whole();
    for (size_t i = 0; i < kSequences; ++i) {
      const Ids& answer = batch.answers()[i];
      const Ids& expected = free_batch.answers()[i];
      EXPECT_TRUE(std::equal(answer.begin(), answer.end(), expected.begin())) << room_pages;
    }
    other.reset();
    EXPECT_EQ(batch.run(kTokens), 0) << room_pages;
    EXPECT_EQ(batch.answers(), free_batch.answers()) << room_pages << " pages";
  }
}

std::string case_name(const testing::TestParamInfo<Case>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Cpu,
                         MemoryLimit,
                         testing::Values(Case{"none", {.policy = "none"}},
                                         Case{"dms", {.policy = "dms"}},
                                         Case{"rounded", {.policy = "none", .kv_dtype = "bf16"}}),
                         case_name);

TEST(Rollback, IsTakenUpAgainWhereMemoryStoppedIt) {
  CpuModel free_model = tiny_model(kShape, seed());
  const std::vector<int32_t> ids = random_ids(400, free_model.vocab(), seed());
  const std::vector<int32_t> others = random_ids(150, free_model.vocab(), seed() + 1);
  Line reference(free_model, CacheOptions{}, 16);
  reference.append(ids);
  const int64_t limit = page_bytes(free_model, reference) + 8 * kPageBytes;
  reference.truncate(300);
  reference.append(others);

  CpuModel model = tiny_model(kShape, seed(), DType::f32, limit);
  Line sequence(model, CacheOptions{}, 16);
  sequence.append(ids);
  std::optional<Line> fork = sequence.fork();  // holds the memory that the recomputation wants
  EXPECT_THROW(sequence.truncate(300), RunError);
  EXPECT_EQ(sequence.tokens(), 300);
  EXPECT_FALSE(sequence.sequence()->missing().empty());
  fork.reset();
  sequence.append(others);
  EXPECT_EQ(sequence.decisions(), reference.decisions());
}

TEST(Preallocation, OfAbsurdlyManyTokensIsRefused) {
  const CpuModel model = tiny_model(kShape, seed());
  EXPECT_THROW(model.plan({.preallocate_tokens = std::numeric_limits<int64_t>::max()}), InputError);
}

TEST(MemoryLimit, APromptToRepeatIsOnlyComputedWhereItsRepetitionFindsMemory) {
  const std::vector<int32_t> ids = random_ids(150, tiny_spec({}).vocab, seed());
  int64_t refused = 0;
  int64_t computed = 0;
  for (int64_t pages = 20; pages < 140; ++pages) {
    CpuModel model = tiny_model({}, seed(), DType::f32, pages * kPageBytes);
    const auto sequence = model.new_sequence(model.plan({.policy = "kvzip"}));
    const std::array parts{
        engine::Part{.sequence = sequence.get(), .ids = ids, .length = 150, .ended_prompt = 150}};
    if (!model.reserve(parts)) {
      ++refused;
      EXPECT_EQ(computed, 0) << "more memory is not enough";
      continue;
    }
    ++computed;
    EXPECT_NO_THROW(model.forward(parts)) << pages << " pages";
  }
  EXPECT_GT(refused, 0);
  EXPECT_GT(computed, 0);
}

}  // namespace
}  // namespace dms::cpu
