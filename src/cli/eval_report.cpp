#include "cli/eval_report.h"

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/output_file.h"
#include "base/utf8.h"
#include "cli/output_options.h"
#include "cli/peak_memory.h"
#include "cli/text_table.h"
#include "dms/error.h"
#include "eval/store.h"

namespace dms::cli {
namespace {

OutputJson number_or_null(const std::optional<double>& value) {
  return value ? OutputJson(*value) : OutputJson(nullptr);
}

void add_memory(OutputJson& row, const KvStats& kv, int64_t kv_bytes, int64_t peak_bytes) {
  row["kv"] = kv_json(kv, false);
  row["kv_bytes"] = kv_bytes;
  row["peak_bytes"] = peak_bytes;
}

/// "kv.cr" of {"kv": {"cr": …}}.
void flatten(const std::string& name,
             const OutputJson& value,
             std::vector<std::pair<std::string, OutputJson>>& cells) {
  if (!value.is_object()) {
    cells.emplace_back(name, value);
    return;
  }
  for (const auto& [key, inner] : value.items()) {
    flatten(name.empty() ? key : fmt::format("{}.{}", name, key), inner, cells);
  }
}

std::string csv_cell(const OutputJson& value) {
  if (value.is_null()) return "";
  if (!value.is_string()) return value.dump();
  const auto& text = value.get_ref<const std::string&>();
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted;
  for (const char c : text) quoted.append(c == '"' ? 2 : 1, c);
  return fmt::format("\"{}\"", quoted);
}

std::vector<std::pair<std::string, std::string>> facts_of(const OutputJson& head) {
  std::vector<std::pair<std::string, std::string>> facts;
  for (const auto& [name, value] : head.items()) {
    facts.emplace_back(name, value.is_string() ? value.get<std::string>() : value.dump());
  }
  return facts;
}

size_t widest_line(std::string_view text) {
  size_t widest = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    widest = std::max(widest, count_code_points(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return widest;
}

}  // namespace

OutputJson text_rows_json(const std::vector<eval::TextRow>& rows) {
  OutputJson list = OutputJson::array();
  for (const eval::TextRow& row : rows) {
    OutputJson json{{"policy", row.label},
                    {"ppl", row.ppl()},
                    {"ppl_change", number_or_null(row.ppl_change)},
                    {"nll", row.nll},
                    {"kld", number_or_null(row.kld)},
                    {"token_match", number_or_null(row.token_match)},
                    {"before_divergence", number_or_null(row.before_divergence)},
                    {"scored_tokens", row.scored_tokens},
                    {"windows", row.windows},
                    {"prefill_tok_s", row.prefill_tok_s},
                    {"decode_tok_s", row.decode_tok_s}};
    add_memory(json, row.kv, row.kv_bytes, row.peak_bytes);
    list.push_back(std::move(json));
  }
  return list;
}

OutputJson task_rows_json(const std::vector<eval::TaskRow>& rows) {
  OutputJson list = OutputJson::array();
  for (const eval::TaskRow& row : rows) {
    const size_t space = row.cell.find(' ');
    for (const eval::TaskScore& score : row.scores) {
      if (score.samples == 0) continue;
      OutputJson json{{"task", row.task}, {"length", std::stoll(row.cell.substr(0, space))}};
      if (space != std::string::npos) json["depth"] = std::stoll(row.cell.substr(space + 1));
      json.update({{"policy", score.label},
                   {"score", score.score},
                   {"samples", score.samples},
                   {"prefill_tok_s", score.prefill_tok_s},
                   {"decode_tok_s", score.decode_tok_s}});
      add_memory(json, score.kv, score.kv_bytes, score.peak_bytes);
      list.push_back(std::move(json));
    }
  }
  return list;
}

std::string to_csv(const OutputJson& rows) {
  std::string text;
  for (const OutputJson& row : rows) {
    std::vector<std::pair<std::string, OutputJson>> cells;
    flatten("", row, cells);
    std::string header;
    std::string line;
    for (const auto& [name, value] : cells) {
      const std::string_view comma = header.empty() ? "" : ",";
      header += fmt::format("{}{}", comma, name);
      line += fmt::format("{}{}", comma, csv_cell(value));
    }
    if (text.empty()) text = fmt::format("{}\n", header);
    text += fmt::format("{}\n", line);
  }
  return text;
}

void note_idle_policies(const OutputJson& rows, const std::string& name) {
  std::vector<std::pair<std::string, bool>> found;  // in the rows' order; whether it held all
  for (const OutputJson& row : rows) {
    if (!row.contains("kv")) continue;
    const auto label = row[name].get<std::string>();
    const bool holds_all = row["kv"]["held_tokens"] == row["kv"]["dense_tokens"];
    const auto same = std::ranges::find(found, label, &std::pair<std::string, bool>::first);
    if (same == found.end()) {
      found.emplace_back(label, holds_all);
    } else {
      same->second = same->second && holds_all;
    }
  }
  for (const auto& [label, holds_all] : found) {
    const bool is_full = label == "none" || label.starts_with("none:");
    if (!holds_all || is_full) continue;
    note(
        fmt::format("{}: every token was held while it was measured: what it keeps in any case may "
                    "be more than the texts have",
                    label));
  }
}

void check_report_files(const std::string& csv, const std::string& html, const std::string& out) {
  require_distinct(
      {{"--out", out.empty() ? "" : eval::Store::file_in(out)}, {"--csv", csv}, {"--html", html}});
  check_writable(csv);
  check_writable(html);
}

std::string fitting_table(const eval::Rendered& rendered) {
  const size_t columns = stdout_columns();
  if (widest_line(rendered.markdown) <= columns) return rendered.markdown;
  TextTable table(rendered.table.front());
  for (size_t i = 1; i < rendered.table.size(); ++i) table.add_row(rendered.table[i]);
  return table.str(columns);
}

std::string page_title(const std::string& command, const std::string& model) {
  const std::string name = std::filesystem::path(model).filename().string();
  return fmt::format("dms {}: {}", command, name.empty() ? model : name);
}

void write_report_files(const std::string& csv,
                        const std::string& html,
                        const std::string& title,
                        const EvalReport& report) {
  if (!csv.empty()) write_text_file(csv, to_csv(report.rows));
  if (html.empty()) return;
  write_text_file(html, eval::page(title, facts_of(report.head), report.rendered.cards));
}

bool write_report(const EvalOptions& options, const ModelInfo& info, const EvalReport& report) {
  if (report.rows.empty()) return false;
  note_idle_policies(report.rows, "policy");
  if (options.json) {
    OutputJson json = report.head;
    json["peak_rss_bytes"] = peak_rss_bytes();
    json["rows"] = report.rows;
    json["notes"] = info.notes;
    print_json(json);
  } else {
    print(fitting_table(report.rendered));
  }
  write_report_files(
      options.csv, options.html, page_title("eval " + options.action, options.model), report);
  return true;
}

}  // namespace dms::cli
