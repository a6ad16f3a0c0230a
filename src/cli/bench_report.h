#pragma once
// What `dms bench` measured, as JSON and as a table.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/bench_serving.h"
#include "cli/bench_sessions.h"
#include "cli/output.h"
#include "cli/samples.h"
#include "dms/llm.h"
#include "dms/machine.h"

namespace dms::cli {

/// One row: `repeat` measurements of one setting.
struct BenchRun {
  int64_t prompt_tokens = 0;
  int64_t context_tokens = 0;  // in the cache before the prompt
  int64_t concurrency = 0;
  int64_t gen_tokens = 0;
  std::string policy;
  Samples prefill_tok_s{};        // of all sequences together
  Samples decode_tok_s{};         // of all sequences together
  Samples attention_s{};          // in attention kernels, of the prefill
  Samples decode_attention_s{};   // the same of the decode
  Samples prefill_products_s{};   // arithmetic of products by weights, a second
  Samples prefill_attention_s{};  // arithmetic of attention, a second
  Samples decode_bytes_s{};       // weights and entries read a second
  KvStats kv{};                   // after the last token, of all sequences together
  std::optional<Served> served{};
};

struct BenchReport {
  MachineProbe machine{};
  std::string model;
  ModelInfo info{};
  std::string dtype;
  std::string weights;
  int64_t weight_bytes = 0;
  double load_s = 0;
  int64_t peak_rss_bytes = 0;
  std::vector<BenchRun> runs{};
  std::vector<FittingSessions> sessions{};  // policy after policy, each with all prompt lengths
};

OutputJson report_json(const BenchReport& report);
/// Lines about machine and model; the runs are a table of their own.
std::string report_head(const BenchReport& report, size_t columns);
std::string runs_table(const BenchReport& report, size_t columns);
/// Empty where nothing was served.
std::string served_table(const BenchReport& report, size_t columns);
/// Empty where no sessions were counted.
std::string sessions_table(const BenchReport& report, size_t columns);

}  // namespace dms::cli
