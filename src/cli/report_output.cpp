#include "cli/report_output.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "cli/eval_run.h"
#include "report/data_table.h"
#include "report/page.h"

namespace dms::cli {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;
constexpr size_t kMostOpenRows = 20;  // longer tables would hide the charts below them

/// Fields of a row, in their order; those that its measure does not have are null.
constexpr std::array kFields{"task",
                             "depth",
                             "ppl",
                             "ppl_change",
                             "nll",
                             "kld",
                             "token_match",
                             "before_divergence",
                             "scored_tokens",
                             "windows",
                             "score",
                             "samples",
                             "prefill_tok_s",
                             "decode_tok_s",
                             "kv",
                             "kv_bytes",
                             "peak_bytes"};

OutputJson rows_json(const ReportResults& results) {
  OutputJson rows = OutputJson::array();
  for (const ReportPart& part : results.parts) {
    for (const OutputJson& measured : part.results.rows) {
      OutputJson row{{"scenario", part.scenario},
                     {"profile", part.profile},
                     {"model", part.options.model},
                     {"measure", part.options.action},
                     {"policy", measured["policy"]}};
      row["tokens"] =
          measured.contains("length") ? measured["length"] : part.results.head["context"];
      for (const char* field : kFields) {
        row[field] = measured.contains(field) ? measured[field] : OutputJson(nullptr);
      }
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

/// What a policy comes to in one evaluation at one length: tasks and depths as their mean.
struct Sum {
  OutputJson first;
  double score = 0;
  int64_t scores = 0;
  int64_t dense_tokens = 0;
  int64_t held_tokens = 0;
  int64_t dense_bytes = 0;
  int64_t allocated_bytes = 0;
  int64_t kv_bytes = 0;

  void add(const OutputJson& row) {
    if (first.is_null()) first = row;
    if (row["score"].is_number()) {
      score += row["score"].get<double>();
      ++scores;
    }
    dense_tokens += row["kv"]["dense_tokens"].get<int64_t>();
    held_tokens += row["kv"]["held_tokens"].get<int64_t>();
    dense_bytes += row["kv"]["dense_bytes"].get<int64_t>();
    allocated_bytes += row["kv"]["allocated_bytes"].get<int64_t>();
    kv_bytes = std::max(kv_bytes, row["kv_bytes"].get<int64_t>());
  }
  double mean_score() const { return score / static_cast<double>(scores); }
};

std::string group_of(const OutputJson& row) {
  return fmt::format("{} {} {} {}",
                     row["scenario"].get<std::string>(),
                     row["profile"].get<std::string>(),
                     row["measure"].get<std::string>(),
                     row["tokens"].get<int64_t>());
}

std::vector<Sum> sums_of(const OutputJson& rows) {
  std::vector<Sum> sums;
  std::map<std::string, size_t> places;
  for (const OutputJson& row : rows) {
    const std::string key = group_of(row) + " " + row["policy"].get<std::string>();
    const auto [place, is_new] = places.emplace(key, sums.size());
    if (is_new) sums.emplace_back();
    sums[place->second].add(row);
  }
  std::ranges::stable_sort(sums, {}, [&](const Sum& sum) {
    const auto same = [&](const OutputJson& row) { return group_of(row) == group_of(sum.first); };
    return std::ranges::find_if(rows, same) - rows.begin();
  });
  return sums;
}

std::string number(const OutputJson& value, std::string_view form) {
  return value.is_number() ? fmt::format(fmt::runtime(form), value.get<double>()) : "-";
}

std::string percent_change(const OutputJson& value) {
  return value.is_number() ? fmt::format("{:+.2f}%", 100 * value.get<double>()) : "-";
}

double ratio(int64_t dense, int64_t held) {
  return held > 0 ? static_cast<double>(dense) / static_cast<double>(held) : 1.0;
}

/// One line for each scenario, profile, measure, length and policy.
report::DataTable summary_of(const OutputJson& rows) {
  report::DataTable table{.title = {},
                          .header = {"scenario",
                                     "profile",
                                     "measure",
                                     "tokens",
                                     "policy",
                                     "ppl",
                                     "change",
                                     "KLD nats",
                                     "score %",
                                     "KV held",
                                     "KV MiB",
                                     "of dense"},
                          .rows = {}};
  for (const Sum& sum : sums_of(rows)) {
    const OutputJson& row = sum.first;
    table.rows.push_back({row["scenario"],
                          row["profile"],
                          row["measure"],
                          fmt::format("{}", row["tokens"].get<int64_t>()),
                          row["policy"],
                          number(row["ppl"], "{:#.4g}"),
                          percent_change(row["ppl_change"]),
                          number(row["kld"], "{:.3g}"),
                          sum.scores > 0 ? fmt::format("{:.1f}", 100 * sum.mean_score()) : "-",
                          fmt::format("1/{:.2f}", ratio(sum.dense_tokens, sum.held_tokens)),
                          fmt::format("{:.2f}", static_cast<double>(sum.kv_bytes) / kMiB),
                          fmt::format("1/{:.2f}", ratio(sum.dense_bytes, sum.allocated_bytes))});
  }
  return table;
}

report::DataTable failures_of(const ReportResults& results) {
  report::DataTable table{.title = "Not done", .header = {"part", "reason"}, .rows = {}};
  for (const ReportFailure& failure : results.failures) {
    table.rows.push_back({failure.part, failure.reason});
  }
  if (results.is_interrupted) {
    table.rows.push_back({"what follows", "interrupted; " + next_of(results)});
  }
  return table;
}

std::string failures_card(const ReportResults& results) {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const std::vector<std::string>& row : failures_of(results).rows) {
    rows.emplace_back(row[0], row[1]);
  }
  return report::table_card("Not done", rows);
}

std::string name_of(const ReportPart& part) {
  std::string name = fmt::format("{}: {}", part.scenario, part.options.action);
  if (part.options.context) name += fmt::format(" at {} tokens", *part.options.context);
  return fmt::format("{}, profile {}", name, part.profile);
}

std::string facts_of(const ReportPart& part) {
  std::vector<std::string> facts;
  for (const auto& [name, value] : part.results.head.items()) {
    if (name == "action") continue;
    facts.push_back(
        fmt::format("{} {}", name, value.is_string() ? value.get<std::string>() : value.dump()));
  }
  return fmt::format("{}", fmt::join(facts, ", "));
}

}  // namespace

std::string next_of(const ReportResults& results) {
  const std::string next = next_command(results.is_forced);
  return results.is_forced ? next + " (FORCE_RERUN), and leaves what was not begun as it is" : next;
}

ReportForms render_report(const std::string& title, const ReportResults& results) {
  ReportForms forms;
  const OutputJson rows = rows_json(results);
  const report::DataTable summary = summary_of(rows);
  const report::DataTable failures = failures_of(results);
  forms.csv = to_csv(rows);
  forms.json = {{"title", title}, {"rows", rows}, {"failed", OutputJson::array()}};
  for (const ReportFailure& failure : results.failures) {
    forms.json["failed"].push_back({{"part", failure.part}, {"reason", failure.reason}});
  }
  if (!rows.empty()) forms.summary = report::to_markdown(summary);
  forms.markdown = fmt::format("# {}\n\n", title) + forms.summary;
  std::string cards = rows.empty() ? ""
                                   : report::fold("All results",
                                                  report::to_card(summary),
                                                  summary.rows.size() <= kMostOpenRows);
  for (const ReportPart& part : results.parts) {
    forms.markdown += fmt::format(
        "\n## {}\n\n{}\n\n{}", name_of(part), facts_of(part), part.results.rendered.markdown);
    cards += report::section(name_of(part), facts_of(part)) + part.results.rendered.cards;
  }
  if (!failures.rows.empty()) {
    forms.markdown += "\n" + report::to_markdown(failures);
    forms.summary += "\n" + report::to_markdown(failures);
    cards = failures_card(results) + cards;
  }
  forms.html = report::render({.title = title, .cards = cards});
  return forms;
}

}  // namespace dms::cli
