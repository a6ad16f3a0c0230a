#include "cli/bench_methods_report.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "cli/eval_report.h"
#include "cli/peak_memory.h"
#include "cli/text_table.h"
#include "eval/rendered.h"
#include "report/scatter.h"

namespace dms::cli {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;

constexpr std::array kColumns{"context",
                              "method",
                              "time s",
                              "first token s",
                              "tok/s",
                              "decode tok/s",
                              "memory",
                              "KV peak",
                              "KV",
                              "needle"};

std::vector<std::string> cells_of(const MethodRun& run) {
  std::vector<std::string> cells{fmt::format("{}", run.context_tokens), run.method};
  if (!run.failure.empty()) {
    cells.resize(kColumns.size() - 1, "-");
    cells.push_back(run.failure);
    return cells;
  }
  cells.insert(cells.end(),
               {fmt::format("{:.2f}", run.seconds.median()),
                fmt::format("{:.2f}", run.first_token_s.median()),
                fmt::format("{:.1f}", run.tok_s.median()),
                fmt::format("{:.1f}", run.decode_tok_s.median()),
                format_bytes(run.weight_bytes + run.kv_peak_bytes),
                format_bytes(run.kv_peak_bytes),
                format_bytes(run.kv.allocated_bytes),
                fmt::format("{}/{}", run.found, run.prompts)});
  return cells;
}

OutputJson numbers_of(const MethodRun& run) {
  return {{"seconds", run.seconds.json()},
          {"first_token_s", run.first_token_s.json()},
          {"tok_s", run.tok_s.json()},
          {"decode_tok_s", run.decode_tok_s.json()},
          {"weight_bytes", run.weight_bytes},
          {"kv_peak_bytes", run.kv_peak_bytes},
          {"kv", kv_json(run.kv, false)},
          {"prompts", run.prompts},
          {"found", run.found}};
}

/// The same fields without values.
OutputJson blank(const OutputJson& value) {
  if (!value.is_object()) return nullptr;
  OutputJson empty = OutputJson::object();
  for (const auto& [name, inner] : value.items()) empty[name] = blank(inner);
  return empty;
}

/// With the same fields in every row.
OutputJson csv_rows(const std::vector<MethodRun>& runs) {
  OutputJson rows = OutputJson::array();
  for (const MethodRun& run : runs) {
    const bool has_failed = !run.failure.empty();
    OutputJson row{{"context_tokens", run.context_tokens}, {"method", run.method}};
    row.update(has_failed ? blank(numbers_of(run)) : numbers_of(run));
    row["failed"] = has_failed ? OutputJson(run.failure) : OutputJson(nullptr);
    rows.push_back(std::move(row));
  }
  return rows;
}

/// Time against memory at one length.
std::string chart_of(const std::vector<MethodRun>& runs, int64_t context) {
  report::Scatter chart{.title = fmt::format("Time and memory at {} tokens", context),
                        .unit = "seconds for prompt and answer, median",
                        .x_name = "KV cache at its peak, MiB",
                        .points = {},
                        .may_be_log = true};
  for (const MethodRun& run : runs) {
    if (run.context_tokens != context || !run.failure.empty()) continue;
    chart.points.push_back({.name = run.method,
                            .x = static_cast<double>(run.kv_peak_bytes) / kMiB,
                            .y = run.seconds.median()});
  }
  return chart.points.empty() ? "" : report::render(chart);
}

EvalReport report_of(const BenchOptions& options, const std::vector<MethodRun>& runs) {
  report::DataTable table{
      .title = "Results", .header = {kColumns.begin(), kColumns.end()}, .rows = {}};
  for (const MethodRun& run : runs) table.rows.push_back(cells_of(run));
  std::string charts;
  for (const int64_t context : options.prompt_lens) charts += chart_of(runs, context);
  const std::string card = report::to_card(table);
  return {.head = {{"model", options.model},
                   {"gen_tokens", options.gen_tokens},
                   {"seed", options.seed},
                   {"repeat", options.repeats}},
          .rows = csv_rows(runs),
          .rendered = eval::rendered(std::move(table), card + charts)};
}

}  // namespace

OutputJson methods_json(const BenchOptions& options, const std::vector<MethodRun>& runs) {
  OutputJson rows = OutputJson::array();
  for (const MethodRun& run : runs) {
    OutputJson row{{"context_tokens", run.context_tokens}, {"method", run.method}};
    if (run.failure.empty()) {
      row.update(numbers_of(run));
    } else {
      row["failed"] = run.failure;
    }
    rows.push_back(std::move(row));
  }
  return {{"model", options.model},
          {"gen_tokens", options.gen_tokens},
          {"seed", options.seed},
          {"peak_rss_bytes", peak_rss_bytes()},
          {"methods", std::move(rows)}};
}

void write_methods(const BenchOptions& options, const std::vector<MethodRun>& rows) {
  if (rows.empty()) return;
  const OutputJson json = methods_json(options, rows);
  note_idle_policies(json["methods"], "method");
  const EvalReport report = report_of(options, rows);
  if (options.json) {
    print_json(json);
  } else {
    print(fitting_table(report.rendered));
  }
  write_report_files(
      options.csv, options.html, page_title("bench --methods", options.model), report);
}

}  // namespace dms::cli
