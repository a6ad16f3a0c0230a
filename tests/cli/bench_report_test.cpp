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
  BenchReport report;
  report.runs.emplace_back().policy = "none";
  EXPECT_NE(runs_table(report, kAnyWidth).find(" -"), std::string::npos);
}

TEST(RunsTable, FitsTheTerminal) {
  BenchReport report;
  for (const char* policy : {"none", "random:cr=8:window=256"}) {
    BenchRun& run = report.runs.emplace_back();
    run.policy = policy;
    run.prefill_tok_s.values = {12345.6, 12399.9};
  }
  for (const size_t columns : {60u, 80u}) {
    const std::string table = runs_table(report, columns);
    for (size_t begin = 0; begin < table.size();) {
      const size_t end = table.find('\n', begin);
      EXPECT_LE(end - begin, columns) << table;
      begin = end + 1;
    }
  }
}

TEST(BenchReport, SharesAreOfTheProbe) {
  BenchReport report;
  report.machine.bandwidth_gb_s = 40;
  report.machine.f32_gflops = 100;
  report.machine.bf16_gflops = 200;
  BenchRun& run = report.runs.emplace_back();
  run.prefill_flops_s.values = {50e9};
  run.decode_bytes_s.values = {10e9};
  const auto share = [&report](const char* dtype, const char* field) {
    report.dtype = dtype;
    return report_json(report)["runs"][0][field]["median"].get<double>();
  };
  EXPECT_DOUBLE_EQ(share("f32", "prefill_flops_share"), 0.5);
  EXPECT_DOUBLE_EQ(share("bf16", "prefill_flops_share"), 0.25);
  EXPECT_DOUBLE_EQ(share("bf16", "decode_bandwidth_share"), 0.25);
}

TEST(BenchReport, CountsOneThread) {
  BenchReport report;
  report.machine.threads = report.machine.cores = 1;
  EXPECT_NE(report_head(report, kAnyWidth).find("1 thread of 1 core)"), std::string::npos);
}

}  // namespace
}  // namespace dms::cli
