#include "cli/bench_report.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/check.h"
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
          {"bf16_gflops", machine.bf16_gflops}};
}

/// What the machine can do at best: arithmetic and bytes read, a second.
struct Peak {
  double flops;
  double bytes;
};

Peak peak_of(const BenchReport& report) {
  const MachineProbe& machine = report.machine;
  const bool uses_bf16 = report.dtype == "bf16" && machine.bf16_gflops > 0;
  return {.flops = 1e9 * (uses_bf16 ? machine.bf16_gflops : machine.f32_gflops),
          .bytes = 1e9 * machine.bandwidth_gb_s};
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
          {"prefill_flops_share", run.prefill_flops_s.of(peak.flops).json()},
          {"decode_bandwidth_share", run.decode_bytes_s.of(peak.bytes).json()},
          {"kv", kv_json(run.kv, false)}};
}

std::string spread(const Samples& samples) {
  if (samples.values.empty()) return "-";
  return fmt::format("{:.1f} ({:.1f}-{:.1f})", samples.median(), samples.min(), samples.max());
}

std::string percent(const Samples& samples) {
  return samples.values.empty() ? "-" : fmt::format("{:.0f}%", 100 * samples.median());
}

}  // namespace

double Samples::median() const {
  ensure(!values.empty(), "a median of something");
  std::vector<double> sorted = values;
  std::ranges::sort(sorted);
  const size_t middle = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

double Samples::min() const { return *std::ranges::min_element(values); }
double Samples::max() const { return *std::ranges::max_element(values); }

Samples Samples::of(double whole) const {
  Samples shares = *this;
  for (double& value : shares.values) value /= whole;
  return shares;
}

OutputJson Samples::json() const {
  if (values.empty()) {
    return {{"median", nullptr}, {"min", nullptr}, {"max", nullptr}, {"n", 0}};
  }
  return {{"median", median()}, {"min", min()}, {"max", max()}, {"n", values.size()}};
}

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
            {"weight_bytes", report.weight_bytes},
            {"load_s", report.load_s}}},
          {"peak_rss_bytes", report.peak_rss_bytes},
          {"runs", runs},
          {"notes", report.info.notes}};
}

std::string report_head(const BenchReport& report, size_t columns) {
  const MachineProbe& machine = report.machine;
  return labelled_line(
             "machine",
             fmt::format("{} ({}, {} of {}), reads {:.1f} GB/s, {:.0f} GFLOP/s f32, {:.0f} bf16",
                         machine.cpu,
                         machine.isa,
                         counted(machine.threads, "thread"),
                         counted(machine.cores, "core"),
                         machine.bandwidth_gb_s,
                         machine.f32_gflops,
                         machine.bf16_gflops),
             columns) +
         labelled_line("model",
                       fmt::format("{}, {} parameters, {} of {} weights, loaded in {:.1f} s",
                                   report.model,
                                   format_count(report.info.parameters),
                                   format_bytes(report.weight_bytes),
                                   report.dtype,
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
         percent(run.prefill_flops_s.of(peak.flops)),
         run.attention_s.values.empty() ? "-" : fmt::format("{:.2f}", run.attention_s.median()),
         spread(run.decode_tok_s),
         percent(run.decode_bytes_s.of(peak.bytes)),
         fmt::format("1/{:.2f}", run.kv.cr),
         format_bytes(run.kv.allocated_bytes),
         fmt::format("1/{:.2f}", run.kv.cr_bytes)});
  }
  return table.str(columns);
}

}  // namespace dms::cli
