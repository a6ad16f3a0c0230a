// A prompt that starts from what another computed gets the logits, and holds the entries, of one
// that is computed from its first token, under every policy whose sequences may share; under the
// others nothing is shared.

#include <gtest/gtest.h>

#include "cpu/rows.h"
#include "cpu/sequence_cases.h"

namespace dms::cpu {
namespace {

using testing_support::seed;

using Ids = std::vector<int32_t>;

struct Answer {
  Generation result;
  Rows last;  // the logits after the prompt
};

class Asking {
 public:
  Asking(CpuModel& model, const CacheOptions& cache, bool is_shared)
      : cache_(cache),
        engine_(model, {}, {.chunk_tokens = 32, .max_step_tokens = 64, .prefix_cache = is_shared}) {
  }

  Answer ask(const Ids& prompt, int64_t tokens) {
    Answer answer;
    engine_.submit({.request = {.prompt = prompt,
                                .sampling = {.max_new_tokens = tokens},
                                .cache = cache_,
                                .sink =
                                    [&answer](const Event& event) {
                                      if (const auto* end = std::get_if<FinishedEvent>(&event)) {
                                        answer.result = end->result;
                                      }
                                    }},
                    .prompt_logits = engine::LogitRows::last,
                    .on_logits = into(answer.last)});
    while (engine_.step()) {
    }
    return answer;
  }

 private:
  CacheOptions cache_;
  engine::Engine engine_;
};

class PrefixSharing : public testing::TestWithParam<Case> {
 protected:
  /// The prompt is answered as it is alone.
  Answer expect_as_alone(const Ids& prompt) {
    const Answer got = shared_.ask(prompt, 1);
    const Answer expected = alone_.ask(prompt, 1);
    EXPECT_EQ(expected.result.cached_tokens, 0);
    EXPECT_EQ(got.result.kv.held_tokens, expected.result.kv.held_tokens);
    EXPECT_EQ(got.last.size(), 1);
    expect_rows(got.last, expected.last, 0, GetParam().tolerance(), "from a prefix");
    return got;
  }

  Ids fresh(int64_t count) { return random_ids(count, tiny_.vocab(), seed() + ++drawn_); }

  static void append(Ids& ids, const Ids& more) { ids.insert(ids.end(), more.begin(), more.end()); }

  CpuModel tiny_ = tiny_model(GetParam().shape, seed());
  Asking shared_{tiny_, GetParam().cache, true};
  Asking alone_{tiny_, GetParam().cache, false};
  uint64_t drawn_ = 0;
};

TEST_P(PrefixSharing, GivesTheLogitsOfThePromptAlone) {
  const bool shares = tiny_.plan(GetParam().cache)->shares_prefixes();
  const Ids first = fresh(150);
  const Answer answer = shared_.ask(first, 40);

  // The next turn of it; its last token was never computed.
  Ids next = first;
  append(next, answer.result.ids);
  append(next, fresh(21));
  EXPECT_EQ(expect_as_alone(next).result.cached_tokens, shares ? 150 + 39 : 0);

  // Another turn after the same prompt, and others that leave it in its midst: the first of them
  // finds what was kept nearest, and has a piece end where it leaves.
  Ids branch = first;
  append(branch, fresh(50));
  EXPECT_EQ(expect_as_alone(branch).result.cached_tokens, shares ? 150 : 0);
  const Ids beginning(first.begin(), first.begin() + 77);
  for (int i = 0; i < 2; ++i) {
    Ids prompt = beginning;
    append(prompt, fresh(60));
    const int64_t cached = expect_as_alone(prompt).result.cached_tokens;
    if (!shares || i == 1) {
      EXPECT_EQ(cached, shares ? 77 : 0);
    } else {
      EXPECT_GE(cached, 64);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Thresholds,
                         PrefixSharing,
                         testing::ValuesIn(threshold_cases()),
                         case_name);
INSTANTIATE_TEST_SUITE_P(Decided, PrefixSharing, testing::ValuesIn(cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Adms, PrefixSharing, testing::ValuesIn(adms_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Planned, PrefixSharing, testing::ValuesIn(interval_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(AtPromptEnds, PrefixSharing, testing::ValuesIn(prompt_cases()), case_name);

}  // namespace
}  // namespace dms::cpu
