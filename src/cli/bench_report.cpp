#include "cli/bench_report.h"

#include <algorithm>
#include <functional>

#include <fmt/format.h>

#include "cli/text_table.h"

namespace dms::cli {
namespace {

OutputJson machine_json(const MachineProbe& machine) {
  return {{"cpu", machine.cpu},
          {"isa", machine.isa},
          {"cores", machine.cores},
          {"threads", machine.threads},
          {"bandwidth_gb_s", machine.bandwidth_gb_s},
          {"f32_gflops", machine.f32_gflops},
          {"bf16_gflops", machine.bf16_gflops},
          {"int8_gops", machine.int8_gops}};
}

/// What the machine can do at best: arithmetic and bytes read, a second.
struct Peak {
  double products;  // by the weights
  double attention;
  double bytes;
};

Peak peak_of(const BenchReport& report) {
  const MachineProbe& machine = report.machine;
  const bool is_bf16 = report.dtype == "bf16";
  const bool is_int8 = is_bf16 && (report.weights == "int8" || report.weights == "int4");
  const double floats =
      is_bf16 && machine.bf16_gflops > 0 ? machine.bf16_gflops : machine.f32_gflops;
  return {.products = 1e9 * (is_int8 && machine.int8_gops > 0 ? machine.int8_gops : floats),
          .attention = 1e9 * floats,
          .bytes = 1e9 * machine.bandwidth_gb_s};
}

/// Of the time taken, what both kinds of arithmetic would take at their peaks.
Samples prefill_share(const BenchRun& run, const Peak& peak) {
  Samples shares = run.prefill_products_s.of(peak.products);
  const Samples attention = run.prefill_attention_s.of(peak.attention);
  std::ranges::transform(shares.values, attention.values, shares.values.begin(), std::plus());
  return shares;
}

OutputJson served_json(const std::optional<Served>& served) {
  if (!served) return nullptr;
  return {{"tok_s", served->tok_s()},
          {"ttft_s", served->first_token_s.tail_json()},
          {"between_tokens_s", served->between_tokens_s.tail_json()},
          {"kv_used_bytes", served->kv_used_bytes},
          {"kv_peak_bytes", served->kv_peak_bytes}};
}

OutputJson run_json(const BenchRun& run, const Peak& peak) {
  return {{"prompt_tokens", run.prompt_tokens},
          {"context_tokens", run.context_tokens},
          {"concurrency", run.concurrency},
          {"gen_tokens", run.gen_tokens},
          {"policy", run.policy},
          {"prefill_tok_s", run.prefill_tok_s.json()},
          {"decode_tok_s", run.decode_tok_s.json()},
          {"attention_s", run.attention_s.json()},
          {"decode_attention_s", run.decode_attention_s.json()},
          {"prefill_flops_share", prefill_share(run, peak).json()},
          {"decode_bandwidth_share", run.decode_bytes_s.of(peak.bytes).json()},
          {"kv", kv_json(run.kv, false)},
          {"served", served_json(run.served)}};
}

/// How many times as many as with the first policy; nothing where that holds none.
std::optional<double> ratio_to_first(const BenchReport& report, const FittingSessions& row) {
  for (const FittingSessions& first : report.sessions) {
    if (first.prompt_tokens != row.prompt_tokens) continue;
    if (first.count == 0) return std::nullopt;
    return static_cast<double>(row.count) / static_cast<double>(first.count);
  }
  return std::nullopt;
}

OutputJson sessions_json(const BenchReport& report) {
  OutputJson rows = OutputJson::array();
  for (const FittingSessions& row : report.sessions) {
    const std::optional<double> ratio = ratio_to_first(report, row);
    rows.push_back(
        {{"policy", row.policy},
         {"prompt_tokens", row.prompt_tokens},
         {"sessions", row.count},
         {"bytes_each", row.count > 0 ? OutputJson(row.bytes_each()) : OutputJson(nullptr)},
         {"ratio", ratio ? OutputJson(*ratio) : OutputJson(nullptr)},
         {"kv", kv_json(row.kv, false)}});
  }
  return rows;
}

std::string spread(const Samples& samples) {
  if (samples.values.empty()) return "-";
  return fmt::format("{:.1f} ({:.1f}-{:.1f})", samples.median(), samples.min(), samples.max());
}

std::string percent(const Samples& samples) {
  return samples.values.empty() ? "-" : fmt::format("{:.0f}%", 100 * samples.median());
}

std::string milliseconds(const Samples& samples) {
  if (samples.values.empty()) return "-";
  constexpr double kMilli = 1000;
  return fmt::format("{:.1f} ({:.1f})", kMilli * samples.median(), kMilli * samples.percentile(99));
}

}  // namespace

OutputJson report_json(const BenchReport& report) {
  const Peak peak = peak_of(report);
  OutputJson runs = OutputJson::array();
  for (const BenchRun& run : report.runs) runs.push_back(run_json(run, peak));
  return {{"machine", machine_json(report.machine)},
          {"model",
           {{"name", report.model},
            {"model_type", report.info.model_type},
            {"parameters", report.info.parameters},
            {"dtype", report.dtype},
            {"weights", report.weights},
            {"weight_bytes", report.weight_bytes},
            {"load_s", report.load_s}}},
          {"peak_rss_bytes", report.peak_rss_bytes},
          {"runs", runs},
          {"sessions", sessions_json(report)},
          {"notes", report.info.notes}};
}

std::string report_head(const BenchReport& report, size_t columns) {
  const MachineProbe& machine = report.machine;
  return labelled_line(
             "machine",
             fmt::format("{} ({}, {} of {}), reads {:.1f} GB/s, {:.0f} GFLOP/s f32, {:.0f} bf16, "
                         "{:.0f} int8",
                         machine.cpu,
                         machine.isa,
                         counted(machine.threads, "thread"),
                         counted(machine.cores, "core"),
                         machine.bandwidth_gb_s,
                         machine.f32_gflops,
                         machine.bf16_gflops,
                         machine.int8_gops),
             columns) +
         labelled_line("model",
                       fmt::format("{}, {} parameters, {} of {} weights, loaded in {:.1f} s",
                                   report.model,
                                   format_count(report.info.parameters),
                                   format_bytes(report.weight_bytes),
                                   report.weights,
                                   report.load_s),
                       columns) +
         labelled_line("memory", format_bytes(report.peak_rss_bytes) + " at most", columns);
}

std::string runs_table(const BenchReport& report, size_t columns) {
  const Peak peak = peak_of(report);
  TextTable table({"policy",
                   "context",
                   "prompt",
                   "seqs",
                   "prefill tok/s",
                   "of FLOPs",
                   "attention s",
                   "decode tok/s",
                   "of GB/s",
                   "KV held",
                   "KV bytes",
                   "of dense"});
  for (const BenchRun& run : report.runs) {
    table.add_row(
        {run.policy,
         fmt::format("{}", run.context_tokens),
         fmt::format("{}", run.prompt_tokens),
         fmt::format("{}", run.concurrency),
         spread(run.prefill_tok_s),
         percent(prefill_share(run, peak)),
         run.attention_s.values.empty() ? "-" : fmt::format("{:.2f}", run.attention_s.median()),
         spread(run.decode_tok_s),
         percent(run.decode_bytes_s.of(peak.bytes)),
         fmt::format("1/{:.2f}", run.kv.cr),
         format_bytes(run.kv.allocated_bytes),
         fmt::format("1/{:.2f}", run.kv.cr_bytes)});
  }
  return table.str(columns);
}

std::string served_table(const BenchReport& report, size_t columns) {
  TextTable table({"policy",
                   "prompt",
                   "requests",
                   "served tok/s",
                   "first token ms (p99)",
                   "between ms (p99)",
                   "KV pages",
                   "peak"});
  bool is_empty = true;
  for (const BenchRun& run : report.runs) {
    if (!run.served) continue;
    is_empty = false;
    table.add_row({run.policy,
                   fmt::format("{}", run.prompt_tokens),
                   fmt::format("{}", run.concurrency),
                   fmt::format("{:.1f}", run.served->tok_s()),
                   milliseconds(run.served->first_token_s),
                   milliseconds(run.served->between_tokens_s),
                   format_bytes(run.served->kv_used_bytes),
                   format_bytes(run.served->kv_peak_bytes)});
  }
  return is_empty ? "" : table.str(columns);
}

std::string sessions_table(const BenchReport& report, size_t columns) {
  if (report.sessions.empty()) return "";
  TextTable table({"policy", "prompt", "sessions", "bytes each", "to the first", "KV held"});
  for (const FittingSessions& row : report.sessions) {
    const std::optional<double> ratio = ratio_to_first(report, row);
    table.add_row({row.policy,
                   fmt::format("{}", row.prompt_tokens),
                   fmt::format("{}", row.count),
                   row.count > 0 ? format_bytes(row.bytes_each()) : "-",
                   ratio ? fmt::format("{:.2f}x", *ratio) : "-",
                   fmt::format("1/{:.2f}", row.kv.cr)});
  }
  return table.str(columns);
}

}  // namespace dms::cli
