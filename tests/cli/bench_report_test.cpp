#include "cli/bench_report.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace dms::cli {
namespace {

TEST(BenchReport, HasTheFieldsThatScriptsRelyOn) {
  BenchReport report;
  report.runs.emplace_back();
  const OutputJson json = report_json(report);
  for (const char* field :
       {"bandwidth_gb_s", "f32_gflops", "bf16_gflops", "int8_gops", "cores", "isa"}) {
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
  report.machine.int8_gops = 400;
  BenchRun& run = report.runs.emplace_back();
  run.prefill_products_s.values = {40e9};
  run.prefill_attention_s.values = {10e9};
  run.decode_bytes_s.values = {10e9};
  const auto share = [&report](const char* dtype, const char* field, const char* weights = "bf16") {
    report.dtype = dtype;
    report.weights = weights;
    return report_json(report)["runs"][0][field]["median"].get<double>();
  };
  EXPECT_DOUBLE_EQ(share("f32", "prefill_flops_share"), 0.5);
  EXPECT_DOUBLE_EQ(share("bf16", "prefill_flops_share"), 0.25);
  EXPECT_DOUBLE_EQ(share("bf16", "prefill_flops_share", "int4"), 0.1 + 0.05);
  EXPECT_DOUBLE_EQ(share("f32", "prefill_flops_share", "int8"), 0.5);
  EXPECT_DOUBLE_EQ(share("bf16", "decode_bandwidth_share"), 0.25);
}

TEST(BenchReport, TellsWhatRequestsMet) {
  BenchReport report;
  report.runs.resize(2);
  Served& served = report.runs[0].served.emplace();
  served.tokens = 30;
  served.seconds = 2;
  served.first_token_s.values = {0.5, 0.1, 0.3};
  served.kv_used_bytes = 1000;
  served.kv_peak_bytes = 2000;
  const OutputJson json = report_json(report)["runs"];
  EXPECT_EQ(json[0]["served"].dump(),
            R"({"tok_s":15.0,"ttft_s":{"median":0.3,"p99":0.5},)"
            R"("between_tokens_s":{"median":null,"p99":null},)"
            R"("kv_used_bytes":1000,"kv_peak_bytes":2000})");
  EXPECT_TRUE(json[1]["served"].is_null());
  const std::string table = served_table(report, kAnyWidth);
  EXPECT_NE(table.find("300.0 (500.0)"), std::string::npos) << table;
  EXPECT_EQ(std::ranges::count(table, '\n'), 2) << "a run that served nothing is no row";
  report.runs[0].served.reset();
  EXPECT_EQ(served_table(report, kAnyWidth), "");
}

TEST(BenchReport, ComparesSessionsWithThoseOfTheFirstPolicy) {
  BenchReport report;
  EXPECT_EQ(sessions_table(report, kAnyWidth), "");
  const auto add = [&report](const char* policy, int64_t tokens, int64_t count) {
    report.sessions.push_back({.policy = policy, .prompt_tokens = tokens, .count = count});
    report.sessions.back().kv.allocated_bytes = 600;
  };
  add("none", 100, 2);
  add("none", 900, 0);
  add("random", 100, 12);
  add("random", 900, 1);
  const OutputJson json = report_json(report)["sessions"];
  EXPECT_EQ(json[0]["ratio"], 1.0);
  EXPECT_EQ(json[0]["bytes_each"], 300);
  EXPECT_TRUE(json[1]["bytes_each"].is_null());
  EXPECT_EQ(json[2]["ratio"], 6.0);
  EXPECT_EQ(json[2]["sessions"], 12);
  EXPECT_TRUE(json[3]["ratio"].is_null());
  EXPECT_NE(sessions_table(report, kAnyWidth).find("6.00x"), std::string::npos);
}

TEST(BenchReport, CountsOneThread) {
  BenchReport report;
  report.machine.threads = report.machine.cores = 1;
  EXPECT_NE(report_head(report, kAnyWidth).find("1 thread of 1 core)"), std::string::npos);
}

}  // namespace
}  // namespace dms::cli
