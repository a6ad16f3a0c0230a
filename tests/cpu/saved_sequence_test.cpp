// A sequence that was written and read goes on as if it had never been interrupted, bit for bit;
// and bytes that are not its own are refused or make some other whole sequence, never a crash.

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "cpu/sequence_cases.h"
#include "support/seed.h"

namespace dms::cpu {
namespace {

using testing_support::seed;
using Rows = std::vector<std::vector<float>>;

constexpr int64_t kTokens = 190;

class SavedSequence : public testing::TestWithParam<Case> {
 protected:
  engine::LogitSink into(Rows& rows) {
    return
        [&rows](int64_t, std::span<const float> row) { rows.emplace_back(row.begin(), row.end()); };
  }

  std::string written(const Line& line) const {
    ByteWriter out;
    line.sequence()->write(out);
    return std::string(out.data());
  }

  std::shared_ptr<engine::Sequence> read(CpuModel& model, const std::string& data) const {
    ByteReader in(data, "saved");
    auto sequence = engine::Sequence::read(in, model, model.plan(GetParam().cache));
    in.require(in.left() == 0, "something follows");
    return sequence;
  }
};

TEST_P(SavedSequence, GoesOnBitForBit) {
  CpuModel first = tiny_model(GetParam().shape, seed());
  CpuModel second = tiny_model(GetParam().shape, seed());
  EXPECT_EQ(first.fingerprint(), second.fingerprint());
  EXPECT_NE(first.fingerprint(), tiny_model(GetParam().shape, seed(), DType::bf16).fingerprint());
  const std::vector<int32_t> ids = random_ids(kTokens, first.vocab(), seed());
  std::mt19937_64 random(seed());
  for (const int64_t at : {1, 31, 32, 33, 100, 140}) {
    Line line(first, GetParam().cache, 32);
    line.append(std::span(ids).first(static_cast<size_t>(at)));
    if (random() % 2 == 0) line.truncate(at - at / 5);
    const auto rest = std::span(ids).subspan(static_cast<size_t>(line.tokens()));
    Line restored(second, read(second, written(line)), 32);
    EXPECT_EQ(written(restored), written(line));
    Rows expected;
    Rows rows;
    line.append(rest, into(expected));
    restored.append(rest, into(rows));
    ASSERT_EQ(rows.size(), rest.size());
    EXPECT_EQ(rows, expected) << at;
    EXPECT_EQ(restored.decisions(), line.decisions()) << at;
  }
}

TEST_P(SavedSequence, DamageIsRefusedOrHarmless) {
  CpuModel model = tiny_model(GetParam().shape, seed());
  Line line(model, GetParam().cache, 32);
  line.append(random_ids(120, model.vocab(), seed()));
  const std::string whole = written(line);
  std::mt19937_64 random(seed());
  int refused = 0;
  for (int i = 0; i < 300; ++i) {
    std::string data = whole;
    if (i % 3 == 0) data.resize(random() % data.size());
    // Most of the bytes are keys and values: the numbers that matter stand at the front of each
    // part.
    for (uint64_t flips = i % 3 == 0 ? 0 : random() % 4 + 1; flips > 0; --flips) {
      data[random() % (i % 2 == 0 ? 2000 : data.size())] ^= static_cast<char>(1u << random() % 8);
    }
    try {
      Line restored(model, read(model, data), 32);
      restored.append(random_ids(70, model.vocab(), seed()));
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GE(refused, 100) << "those that end early at least";
}

INSTANTIATE_TEST_SUITE_P(Thresholds,
                         SavedSequence,
                         testing::ValuesIn(threshold_cases()),
                         case_name);
INSTANTIATE_TEST_SUITE_P(Cpu, SavedSequence, testing::ValuesIn(cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Adms, SavedSequence, testing::ValuesIn(adms_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Intervals, SavedSequence, testing::ValuesIn(interval_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Prompts, SavedSequence, testing::ValuesIn(prompt_cases()), case_name);

}  // namespace
}  // namespace dms::cpu
