// At the memory limit a pass is refused before it begins: nothing has changed, and everything goes
// on once there is memory.

#include <algorithm>

#include <gtest/gtest.h>

#include "dms/error.h"
#include "engine/engine.h"
#include "engine/tiny_model.h"
#include "support/seed.h"

namespace dms::engine {
namespace {

using testing_support::seed;

/// Counts the passes that began and failed.
class WatchedModel final : public Model {
 public:
  explicit WatchedModel(Model& model) : model_(model) {}
  int64_t vocab() const override { return model_.vocab(); }
  int64_t context() const override { return model_.context(); }
  double attention_seconds() const override { return model_.attention_seconds(); }
  std::span<const float> forward(std::span<const model::Segment> segments) override {
    ++failed_passes;
    const std::span<const float> logits = model_.forward(segments);
    --failed_passes;
    return logits;
  }
  int64_t failed_passes = 0;

 private:
  Model& model_;
};

constexpr int64_t kSequences = 8;
const int64_t kPageBytes = kernels::KvPageLayout{.type = DType::f32, .head_dim = 16}.bytes();

class Batch {
 public:
  Batch(TinyModel& tiny, const CacheOptions& cache) : model_(tiny.model()) {
    for (int64_t i = 0; i < kSequences; ++i) {
      sequences_.push_back(tiny.sequence(cache, 32));
      engine_.add({.sequence = sequences_.back().get(),
                   .prompt = random_ids(20, model_.vocab(), seed() + static_cast<uint64_t>(i)),
                   .params = {.max_new_tokens = 60, .ignore_eos = true}});
    }
  }

  /// Goes on to the end, or returns false where memory runs out.
  bool run() {
    try {
      while (!engine_.is_done()) engine_.step();
    } catch (const RunError&) {
      return false;
    }
    return true;
  }

  std::vector<std::vector<int32_t>> answers() {
    std::vector<std::vector<int32_t>> ids;
    for (const Generation& result : engine_.take_results()) ids.push_back(result.ids);
    return ids;
  }

  bool is_whole() const {
    return model_.failed_passes == 0 && std::ranges::all_of(sequences_, [](const auto& sequence) {
             return sequence->tokens() == std::ssize(sequence->ids());
           });
  }

 private:
  WatchedModel model_;
  std::vector<std::unique_ptr<Sequence>> sequences_;
  Engine engine_{model_, nullptr, {}};
};

struct Case {
  std::string name;
  CacheOptions cache;
};

void PrintTo(const Case& c, std::ostream* os) { *os << c.name; }

class MemoryLimit : public testing::TestWithParam<Case> {};

TEST_P(MemoryLimit, ABatchThatItStopsIsAsBeforeAndGoesOnWhenThereIsMemory) {
  TinyModel tiny({.dms = DmsSpec{.source = DmsSource::adapter, .decision_shift = 1, .window = 16}},
                 seed());
  Batch free_batch(tiny, GetParam().cache);
  ASSERT_TRUE(free_batch.run());
  const auto expected = free_batch.answers();

  // Between what the prompts take and what the last tokens need: each limit ends elsewhere.
  for (int64_t room_pages = 40; room_pages < 80; room_pages += 3) {
    tiny.budget().limit_bytes = 0;
    auto other = tiny.sequence({.policy = "none"}, 256);
    other->append(random_ids(1600, tiny.spec().vocab, seed()), {}, {});
    Batch batch(tiny, GetParam().cache);
    tiny.budget().limit_bytes = tiny.budget().used_bytes + room_pages * kPageBytes;
    EXPECT_FALSE(batch.run());
    EXPECT_TRUE(batch.is_whole()) << room_pages << " pages";
    EXPECT_FALSE(batch.run()) << "no memory has come";
    EXPECT_TRUE(batch.is_whole()) << room_pages << " pages";
    other.reset();
    EXPECT_TRUE(batch.run());
    EXPECT_EQ(batch.answers(), expected) << room_pages << " pages";
  }
}

std::string case_name(const testing::TestParamInfo<Case>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Engine,
                         MemoryLimit,
                         testing::Values(Case{"none", {.policy = "none"}},
                                         Case{"dms", {.policy = "dms"}},
                                         Case{"rounded", {.policy = "none", .kv_dtype = "bf16"}}),
                         case_name);

TEST(Rollback, LeavesNoDecisionsBehindWhereMemoryStopsIt) {
  TinyModel tiny({.dms = DmsSpec{.source = DmsSource::adapter, .decision_shift = 1, .window = 16}},
                 seed());
  const std::vector<int32_t> ids = random_ids(400, tiny.spec().vocab, seed());
  const std::vector<int32_t> others = random_ids(150, tiny.spec().vocab, seed() + 1);
  const auto sequence = tiny.sequence({}, 16);
  sequence->append(ids, {}, {});
  auto fork = sequence->fork();  // holds the memory that the recomputation wants
  tiny.budget().limit_bytes = tiny.budget().used_bytes + 8 * kPageBytes;
  EXPECT_THROW(sequence->truncate(300), RunError);
  const int64_t left = sequence->tokens();
  ASSERT_GT(left, 0);
  ASSERT_LT(left, 300);

  fork.reset();
  tiny.budget().limit_bytes = 0;
  const auto reference = tiny.sequence({}, 16);
  reference->append(std::span(ids).first(static_cast<size_t>(left)), {}, {});
  reference->append(others, {}, {});
  sequence->append(others, {}, {});
  EXPECT_EQ(sequence->cache().decisions(), reference->cache().decisions());
}

}  // namespace
}  // namespace dms::engine
