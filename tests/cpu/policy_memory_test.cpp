// What policies hold beside pages counts against the memory limit, and is reserved before it is
// there: blocks of low rank, statistics of queries, what entries were attended.

#include <algorithm>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "cache/slot_store.h"
#include "cpu/cpu_sequence.h"
#include "cpu/sequence_cases.h"
#include "support/errors.h"
#include "support/held_memory.h"
#include "support/seed.h"

namespace dms::cpu {
namespace {

using testing_support::held_bytes;
using testing_support::seed;

using Ids = std::vector<int32_t>;

const cache::SequenceCache& cache_of(const Line& line) {
  return static_cast<const CpuSequence&>(line.sequence()->state()).cache();
}

std::vector<Case> ranking_cases() {
  std::vector<Case> all = interval_cases();
  for (const std::vector<Case>& more : {adms_cases(), prompt_cases()}) {
    all.insert(all.end(), more.begin(), more.end());
  }
  Case& adaptive = all.emplace_back(adms_cases().front());
  adaptive.name = "adms_low_rank_adaptive";
  adaptive.cache.policy_args.insert({"use_adaptive_budget", "true"});
  return all;
}

class PolicyBytes : public testing::TestWithParam<Case> {};

TEST_P(PolicyBytes, AreNeverMoreThanWasSaidAndAllAreCounted) {
  const Case& c = GetParam();
  CpuModel model = tiny_model(c.shape, seed());
  std::mt19937_64 random(seed());
  {
    std::vector<Line> lines;
    lines.emplace_back(model, c.cache, 64);
    for (int turn = 0; turn < 14; ++turn) {
      const size_t chosen = random() % lines.size();
      Line& line = lines[chosen];
      const auto tokens = static_cast<int64_t>(random() % 40) + 1;
      // What is said of the prompt's end holds for the plans on the way.
      const int64_t most =
          cache_of(line).policy_bytes() + cache_of(line).policy_growth(line.tokens() + tokens);
      line.append(random_ids(tokens, model.vocab(), random()));
      ASSERT_LE(cache_of(line).policy_bytes(), most)
          << line.tokens() << " tokens, DMS_TEST_SEED=" << seed();
      if (random() % 5 == 0)
        line.truncate(line.tokens() - static_cast<int64_t>(random() % 20) % line.tokens());
      if (random() % 5 == 0) lines.push_back(line.fork());
    }
    const auto bytes = [](const Line& line) { return cache_of(line).policy_bytes(); };
    if (lines.size() == 1) {
      EXPECT_EQ(model.memory().used_bytes, lines.front().sequence()->state().held_bytes());
    }
    int64_t sum = 0;
    for (const Line& line : lines) sum += bytes(line);
    EXPECT_GE(model.memory().used_bytes, sum);
    for (Line& line : lines) line.sequence()->release();
    EXPECT_EQ(model.memory().used_bytes, 0) << "a preempted sequence holds something";
  }
  EXPECT_EQ(model.memory().used_bytes, 0) << "bytes are counted of what is gone";
}

INSTANTIATE_TEST_SUITE_P(Cpu, PolicyBytes, testing::ValuesIn(ranking_cases()), case_name);

/// Its moments of queries take more than the room that is left beside a few pages.
TEST(PolicyMemory, ThatFindsNoRoomIsNamedBesideTheLimit) {
  constexpr int64_t kLimit = 20000;
  const Ids ids{1, 2, 3};
  CpuModel model = tiny_model({}, seed(), DType::f32, kLimit);
  EXPECT_NO_THROW(Line(model, {.policy = "none"}, 8).append(ids));
  Line line(model, {.policy = "expected_attention"}, 8);
  testing_support::expect_parts(testing_support::run_error([&] { line.append(ids); }),
                                {"expected at most 20000",
                                 "beside pages for the policy",
                                 "raise kv_memory_bytes",
                                 "budget of the policy"});
}

/// A policy that holds much beside pages, and how it is to be held.
struct Crowd {
  std::string name;
  CacheOptions cache;
  int64_t swap_bytes = 0;
  int64_t answers = 1;
};

void PrintTo(const Crowd& crowd, std::ostream* os) { *os << crowd.name; }

std::vector<Crowd> crowds() {
  const CacheOptions blocks{.policy = "adms",
                            .policy_args = {{"start_size", "3"},
                                            {"enable_dynamic_sink", "false"},
                                            {"recent_size", "16"},
                                            {"compressed_budget", "100"},
                                            {"prompt_interval", "16"}}};
  CacheOptions shifted = blocks;
  shifted.policy_args["enable_pos_shift"] = "true";
  CacheOptions attended = blocks;
  attended.policy_args["importance_metric"] = "attention";
  const auto budgeted = [](const char* policy) {
    return CacheOptions{.policy = policy, .policy_args = {{"budget", "90"}, {"interval", "20"}}};
  };
  return {
      {.name = "blocks", .cache = blocks},
      {.name = "swapped_blocks", .cache = blocks, .swap_bytes = 1 << 20},
      {.name = "branched_blocks", .cache = blocks, .answers = 3},
      {.name = "shifted_blocks", .cache = shifted},
      {.name = "kept_queries", .cache = attended},
      {.name = "sums", .cache = budgeted("h2o")},
      {.name = "branched_sums", .cache = budgeted("h2o"), .answers = 3},
      {.name = "moments", .cache = budgeted("expected_attention")},
      {.name = "branched_moments", .cache = budgeted("expected_attention"), .answers = 3},
      {.name = "replay", .cache = budgeted("kvzip")},
  };
}

/// Those whose policy holds more than tables take.
std::vector<Crowd> heavy_crowds() {
  std::vector<Crowd> all = crowds();
  std::erase_if(all, [](const Crowd& crowd) {
    return crowd.answers > 1 || crowd.swap_bytes > 0 || crowd.name == "replay";
  });
  return all;
}

std::string crowd_name(const testing::TestParamInfo<Crowd>& info) { return info.param.name; }

class BesidePages : public testing::TestWithParam<Crowd> {};

/// By allocation, so that nothing is left out. A fork shares its pages, and what else it allocates
/// is tables and what its policy holds.
TEST_P(BesidePages, AreTablesAndWhatIsCounted) {
  constexpr int64_t kTokens = 220;
  const TinyShape shape;
  CpuModel model = tiny_model(shape, seed());
  Line line(model, GetParam().cache, 48);
  for (int64_t begin = 0; begin < kTokens; begin += 55) {
    line.append(random_ids(55, model.vocab(), seed() + static_cast<uint64_t>(begin)));
  }
  const int64_t before = held_bytes;
  const std::unique_ptr<cache::SequenceCache> fork = cache_of(line).fork();
  const int64_t allocated = held_bytes - before;
  // Of each token when it went, where it is among the survivors and whether it is held; of each
  // page of 32 a reference, for each of the two lists that it may be in.
  constexpr int64_t kTokenBytes = sizeof(int32_t) + sizeof(int32_t) + 1;
  const int64_t of_head = kTokens * kTokenBytes +
                          2 * ceil_div(kTokens, kernels::kPageTokens) * sizeof(cache::Page) +
                          sizeof(cache::HeadCache) + sizeof(cache::SlotStore);
  constexpr int64_t kLayerBytes = 256;     // its numbers, and the state's
  constexpr int64_t kSequenceBytes = 512;  // likewise, and its plans
  const int64_t tables = kSequenceBytes + shape.layers * (kLayerBytes + shape.kv_heads * of_head);
  const int64_t counted = fork->policy_bytes();
  EXPECT_LE(allocated, tables + counted);
  EXPECT_GT(allocated, tables) << "nothing has to be counted";
}

INSTANTIATE_TEST_SUITE_P(Cpu, BesidePages, testing::ValuesIn(heavy_crowds()), crowd_name);

class CrowdTest : public testing::TestWithParam<Crowd> {};

/// Many requests at once.
class CrowdedEngine {
 public:
  CrowdedEngine(CpuModel& model, const Crowd& crowd)
      : model_(model),
        crowd_(crowd),
        engine_(model,
                {},
                {.chunk_tokens = 48,
                 .max_step_tokens = 96,
                 .max_sequences = 12,
                 .swap_bytes = crowd.swap_bytes}) {}

  void submit(int64_t prompt, int64_t answer) {
    const int64_t request_index = asked_++;
    Request request;
    request.prompt = random_ids(prompt, model_.vocab(), random_());
    request.cache = crowd_.cache;
    request.sampling.max_new_tokens = answer;
    request.sampling.ignore_eos = true;
    request.answers = crowd_.answers;
    request.sink = [this, request_index](const Event& event) {
      const auto* end = std::get_if<FinishedEvent>(&event);
      if (end == nullptr) return;
      EXPECT_EQ(end->result.finish_reason, "length") << end->result.error;
      answers_[{request_index, end->answer}] = end->result.ids;
    };
    engine_.submit({.request = std::move(request)});
  }

  void run_steps(int64_t steps) {
    for (; steps > 0 && engine_.step(); --steps) most_waiting_ = std::max(most_waiting_, waiting());
  }

  int64_t asked() const { return asked_; }
  int64_t most_waiting() const { return most_waiting_; }
  const std::map<std::pair<int64_t, int64_t>, Ids>& answers() const { return answers_; }
  int64_t draw(int64_t min, int64_t max) {
    return std::uniform_int_distribution<int64_t>(min, max)(random_);
  }

 private:
  int64_t waiting() const { return engine_.stats().waiting; }

  CpuModel& model_;
  const Crowd crowd_;
  engine::Engine engine_;
  std::mt19937_64 random_{seed()};
  int64_t asked_ = 0;
  int64_t most_waiting_ = 0;
  std::map<std::pair<int64_t, int64_t>, Ids> answers_;
};

constexpr int64_t kPrompt = 180;
constexpr int64_t kAnswer = 40;

/// Requests that come while others run.
void crowd_in(CrowdedEngine& engine) {
  constexpr int64_t kRequests = 12;
  for (int64_t i = 0; i < kRequests; ++i) {
    engine.submit(engine.draw(kPrompt / 2, kPrompt), engine.draw(1, kAnswer));
    engine.run_steps(engine.draw(0, 12));
  }
  engine.run_steps(1 << 20);
}

TEST_P(CrowdTest, StaysWithinTheLimitAndEveryRequestEndsAsWithoutIt) {
  const Crowd& crowd = GetParam();
  CpuModel unlimited = tiny_model({}, seed());
  CrowdedEngine free(unlimited, crowd);
  crowd_in(free);
  int64_t alone = 0;
  {
    CpuModel model = tiny_model({}, seed());
    CrowdedEngine one(model, {.name = {}, .cache = crowd.cache});
    one.submit(kPrompt, kAnswer);
    one.run_steps(1 << 20);
    alone = model.memory().peak_bytes;
  }
  const int64_t limit = 2 * alone;
  CpuModel model = tiny_model({}, seed(), DType::f32, limit);
  const Line keeper(model, {.policy = "none"}, 48);  // of its highest use
  CrowdedEngine engine(model, crowd);
  crowd_in(engine);
  EXPECT_LE(model.memory().peak_bytes, limit);
  EXPECT_EQ(model.memory().used_bytes, 0);
  EXPECT_GT(engine.most_waiting(), 0) << "there is always room";
  EXPECT_EQ(std::ssize(engine.answers()), engine.asked() * crowd.answers);
  EXPECT_EQ(engine.answers(), free.answers()) << "DMS_TEST_SEED=" << seed();
}

INSTANTIATE_TEST_SUITE_P(Cpu, CrowdTest, testing::ValuesIn(crowds()), crowd_name);

TEST(PolicyMemory, IsCopiedForOtherAnswersInThePlaceOfPrefixes) {
  const CacheOptions cache{.policy = "h2o", .policy_args = {{"budget", "90"}, {"interval", "20"}}};
  constexpr int64_t kLimit = 1 << 20;
  CpuModel model = tiny_model({}, seed(), DType::f32, kLimit);
  engine::Engine engine(model, {}, {.chunk_tokens = 48, .prefix_cache = true});
  int64_t most_preempted = 0;
  const auto answer = [&](int64_t answers, uint64_t prompt) {
    Request request;
    request.prompt = random_ids(kPrompt, model.vocab(), prompt);
    request.cache = cache;
    request.sampling.max_new_tokens = 3;
    request.sampling.ignore_eos = true;
    request.answers = answers;
    engine.submit({.request = std::move(request)});
    while (engine.step()) most_preempted = std::max(most_preempted, engine.stats().preempted);
  };
  uint64_t prompts = 0;
  while (prompts < 100 && model.memory().used_bytes < kLimit * 9 / 10) answer(1, ++prompts);
  ASSERT_LT(prompts, 100) << "prefixes do not fill the memory";
  answer(4, ++prompts);
  EXPECT_EQ(most_preempted, 0);
  EXPECT_LE(model.memory().peak_bytes, kLimit);
}

}  // namespace
}  // namespace dms::cpu
