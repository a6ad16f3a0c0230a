// A compressor of one's own that throws: its sequence is lost, the others of the pass are not.

#include <algorithm>
#include <atomic>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cpu/replay.h"
#include "cpu/rows.h"
#include "cpu/sequence_cases.h"
#include "dms/compressor.h"
#include "support/seed.h"

namespace dms::cpu {
namespace {

using testing_support::seed;

constexpr int64_t kPrompt = 90;  // long enough for plans

/// Drops all.
MiddleEntries nothing(const MiddleEntries&, int64_t, int64_t) { return {}; }

CacheOptions with_compressor(const std::string& name) {
  return {.policy = "adms",
          .policy_args = {{"start_size", "3"},
                          {"enable_dynamic_sink", "false"},
                          {"recent_size", "20"},
                          {"compressed_budget", "18"},
                          {"prompt_interval", "16"},
                          {"compressor_type", "custom"},
                          {"compressor", name}}};
}

class CompressorFailure : public testing::Test {
 protected:
  CompressorFailure() : tiny_(tiny_model(TinyShape{}, seed())) {
    register_compressor("sound", nothing);
  }

  engine::Submission ask(uint64_t which, const std::string& compressor, Generation& result) {
    return {.request = {.prompt = random_ids(kPrompt, tiny_.vocab(), seed() + which),
                        .sampling = {.max_new_tokens = 12, .ignore_eos = true},
                        .cache = with_compressor(compressor),
                        .sink = [&result](const Event& event) {
                          if (const auto* end = std::get_if<FinishedEvent>(&event)) {
                            result = end->result;
                          }
                        }}};
  }

  /// Side by side; the one that fails first in the pass.
  void run(const std::string& failing, Generation& failed, Generation& other) {
    engine::Engine engine(tiny_, {}, {.chunk_tokens = 16, .max_step_tokens = 32});
    engine.submit(ask(1, failing, failed));
    engine.submit(ask(2, "sound", other));
    while (engine.step()) {
    }
  }

  CpuModel tiny_;
};

TEST_F(CompressorFailure, EndsItsOwnRequestAlone) {
  register_compressor("thrower", [](const MiddleEntries&, int64_t, int64_t) -> MiddleEntries {
    throw std::runtime_error("out of ideas");
  });
  register_compressor("odd thrower",
                      [](const MiddleEntries&, int64_t, int64_t) -> MiddleEntries { throw 5; });
  register_compressor("liar", [](const MiddleEntries& entries, int64_t, int64_t) {
    MiddleEntries made = entries;
    made.values.clear();
    return made;
  });
  Generation sound;
  Generation expected;
  run("sound", sound, expected);
  ASSERT_EQ(expected.ids.size(), 12u);
  for (const auto& [name, why] : {std::pair{"thrower", "compressor thrower: failed: out of ideas"},
                                  std::pair{"odd thrower", "compressor odd thrower: failed"},
                                  std::pair{"liar", "compressor liar: returned"}}) {
    Generation failed;
    Generation other;
    run(name, failed, other);
    EXPECT_EQ(failed.finish_reason, "error") << name;
    EXPECT_THAT(failed.error, testing::HasSubstr(why)) << name;
    EXPECT_EQ(other.error, "") << name;
    EXPECT_EQ(other.ids, expected.ids) << name;
  }
}

/// No engine looks at what is read for a replay.
TEST_F(CompressorFailure, IsThrownWhereATextIsRead) {
  register_compressor("thrower", [](const MiddleEntries&, int64_t, int64_t) -> MiddleEntries {
    throw std::runtime_error("out of ideas");
  });
  const std::vector<int32_t> ids = random_ids(kPrompt, tiny_.vocab(), seed());
  const auto sequence = tiny_.new_sequence(tiny_.plan(with_compressor("thrower")));
  std::string told;
  for (size_t at = 0; at < ids.size() && !sequence->failure();) {
    const auto count = static_cast<size_t>(std::min<int64_t>(sequence->pass_limit(), 16));
    const auto next = std::span(ids).subspan(at).first(std::min(count, ids.size() - at));
    try {
      read_text(tiny_, *sequence, next, kPrompt);
    } catch (const std::exception& error) {
      told = error.what();
    }
    at += next.size();
  }
  EXPECT_TRUE(sequence->failure());
  EXPECT_THAT(told, testing::HasSubstr("compressor thrower: failed: out of ideas"));
}

TEST_F(CompressorFailure, LeavesASequenceThatCanGoOn) {
  const auto throws = std::make_shared<std::atomic<bool>>(false);
  register_compressor("moody",
                      [throws](const MiddleEntries& entries, int64_t head_dim, int64_t budget) {
                        if (*throws) throw std::runtime_error("not now");
                        return nothing(entries, head_dim, budget);
                      });
  const std::vector<int32_t> ids = random_ids(kPrompt, tiny_.vocab(), seed());
  const auto first = std::span(ids).first(50);
  const auto second = std::span(ids).subspan(50);
  Rows expected;
  Line reference(tiny_, with_compressor("moody"), 16);
  reference.append(first);
  reference.append(second, into(expected));
  Line line(tiny_, with_compressor("moody"), 16);
  line.append(first);
  *throws = true;
  EXPECT_THROW(line.append(second), RunError);
  *throws = false;
  const int64_t kept = line.tokens();
  EXPECT_LT(kept, kPrompt);
  line.append({});  // what was lost
  line.truncate(50);
  Rows rows;
  line.append(second, into(rows));
  expect_rows(rows, expected, 0, kTolerance, "after a failure");
}

}  // namespace
}  // namespace dms::cpu
