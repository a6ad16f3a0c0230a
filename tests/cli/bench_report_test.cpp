#include "cli/bench_report.h"

#include <gtest/gtest.h>

namespace dms::cli {
namespace {

TEST(Samples, MedianOfEvenAndOddCounts) {
  EXPECT_DOUBLE_EQ((Samples{{3, 1, 2}}).median(), 2);
  EXPECT_DOUBLE_EQ((Samples{{4, 1, 2, 3}}).median(), 2.5);
}

TEST(Samples, JsonIsNullWhereNothingWasMeasured) {
  EXPECT_EQ(Samples{}.json().dump(), R"({"median":null,"min":null,"max":null,"n":0})");
  EXPECT_EQ((Samples{{2, 1}}).json().dump(), R"({"median":1.5,"min":1.0,"max":2.0,"n":2})");
}

TEST(BenchReport, HasTheFieldsThatScriptsRelyOn) {
  BenchReport report;
  report.runs.emplace_back();
  const OutputJson json = report_json(report);
  for (const char* field : {"bandwidth_gb_s", "f32_gflops", "bf16_gflops", "cores", "isa"}) {
    EXPECT_TRUE(json["machine"].contains(field)) << field;
  }
  for (const char* field : {"prompt_tokens",
                            "concurrency",
                            "gen_tokens",
                            "policy",
                            "prefill_tok_s",
                            "decode_tok_s",
                            "attention_s",
                            "kv",
                            "decode_bandwidth_share",
                            "prefill_flops_share"}) {
    EXPECT_TRUE(json["runs"][0].contains(field)) << field;
  }
}

TEST(RunsTable, ShowsADashWhereNothingWasMeasured) {
  BenchRun run;
  run.policy = "none";
  EXPECT_NE(runs_table({run}).find(" -"), std::string::npos);
}

}  // namespace
}  // namespace dms::cli
