#include "eval/rendered.h"

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <string_view>

#include <fmt/format.h>

#include "eval/series.h"
#include "report/grid_map.h"
#include "report/heatmap.h"
#include "report/page.h"
#include "report/scatter.h"
#include "report/shaded_text.h"

namespace dms::eval {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;
constexpr size_t kMostOpen = 4;  // contenders whose own figures a page shows at once

double mebibytes(int64_t bytes) { return static_cast<double>(bytes) / kMiB; }

std::string percent(double share) { return fmt::format("{:.1f}", 100 * share); }

std::string change(const std::optional<double>& share) {
  return share ? fmt::format("{:+.2f}%", 100 * *share) : "-";
}

template <class T>
std::string value_or_dash(const std::optional<T>& value, fmt::format_string<const T&> form) {
  return value ? fmt::format(form, *value) : "-";
}

/// A column of the table of texts.
struct TextColumn {
  const char* name;
  bool is_compared;  // there only with a reference
  std::function<std::string(const TextRow&)> cell;
};

std::vector<TextColumn> text_columns() {
  return {
      {"policy", false, [](const TextRow& row) { return row.label; }},
      {"ppl", false, [](const TextRow& row) { return fmt::format("{:#.4g}", row.ppl()); }},
      {"change", false, [](const TextRow& row) { return change(row.ppl_change); }},
      {"KLD nats", true, [](const TextRow& row) { return value_or_dash(row.kld, "{:.3g}"); }},
      {"same token %",
       true,
       [](const TextRow& row) { return row.token_match ? percent(*row.token_match) : "-"; }},
      {"before divergence",
       true,
       [](const TextRow& row) { return value_or_dash(row.before_divergence, "{:.1f}"); }},
      {"scored", false, [](const TextRow& row) { return fmt::format("{}", row.scored_tokens); }},
      {"KV held", false, [](const TextRow& row) { return fmt::format("1/{:.2f}", row.kv.cr); }},
      {"KV MiB",
       false,
       [](const TextRow& row) { return fmt::format("{:.2f}", mebibytes(row.kv_bytes)); }},
      {"of dense",
       false,
       [](const TextRow& row) { return fmt::format("1/{:.2f}", row.kv.cr_bytes); }},
      {"peak MiB",
       false,
       [](const TextRow& row) { return fmt::format("{:.2f}", mebibytes(row.peak_bytes)); }},
      {"prefill tok/s",
       false,
       [](const TextRow& row) { return fmt::format("{:.0f}", row.prefill_tok_s); }},
      {"decode tok/s",
       false,
       [](const TextRow& row) {
         return row.decode_tok_s > 0 ? fmt::format("{:.1f}", row.decode_tok_s) : "-";
       }},
  };
}

/// [layers][kv_heads]
std::vector<std::vector<double>> kept_shares(const KvStats& kv) {
  size_t heads = 0;
  for (const std::vector<int64_t>& layer : kv.held_per_head) heads += layer.size();
  const double tokens = static_cast<double>(kv.dense_tokens) / static_cast<double>(heads);
  std::vector<std::vector<double>> shares;
  for (const std::vector<int64_t>& layer : kv.held_per_head) {
    std::vector<double>& of_layer = shares.emplace_back();
    for (const int64_t held : layer) of_layer.push_back(static_cast<double>(held) / tokens);
  }
  return shares;
}

/// A map of one colour says nothing.
bool heads_differ(const KvStats& kv) {
  const auto& layers = kv.held_per_head;
  return std::ranges::any_of(layers, [&layers](const std::vector<int64_t>& heads) {
    return std::ranges::any_of(heads,
                               [&layers](int64_t held) { return held != layers.front().front(); });
  });
}

report::DataTable text_table(const std::vector<TextRow>& rows) {
  const bool is_compared = !rows.empty() && rows.front().kld;
  report::DataTable table{.title = "Results", .header = {}, .rows = {}};
  table.rows.resize(rows.size());
  for (const TextColumn& column : text_columns()) {
    if (column.is_compared && !is_compared) continue;
    table.header.emplace_back(column.name);
    for (size_t i = 0; i < rows.size(); ++i) table.rows[i].push_back(column.cell(rows[i]));
  }
  return table;
}

/// Of rows with a label.
template <class Row>
std::vector<SeriesPlace> places_of(const std::vector<Row>& rows) {
  std::vector<std::string> labels;
  for (const Row& row : rows) labels.push_back(row.label);
  return series_of(labels);
}

std::string text_chart(const std::vector<TextRow>& rows,
                       const char* title,
                       const char* unit,
                       const std::function<double(const TextRow&)>& loss) {
  report::Scatter chart{
      .title = title, .unit = unit, .x_name = "KV cache, MiB", .points = {}, .may_be_log = true};
  const std::vector<SeriesPlace> places = places_of(rows);
  for (size_t i = 0; i < rows.size(); ++i) {
    chart.points.push_back({.name = rows[i].label,
                            .x = mebibytes(rows[i].kv_bytes),
                            .y = loss(rows[i]),
                            .series = places[i].series,
                            .lines = places[i].lines});
  }
  return report::render(chart);
}

std::string shaded_text(const TextRow& row, const std::vector<std::string>& pieces) {
  const int64_t tokens = std::ssize(row.kept);
  const char* where = tokens == row.prompt_tokens ? "where the prompt ends, " : "";
  return report::render(report::ShadedText{
      .title = fmt::format("{}: the text it holds", row.label),
      .unit = fmt::format(
          "the darker, the more heads of all layers still hold a token {}behind {} tokens",
          where,
          tokens),
      .pieces = pieces,
      .shares = row.kept});
}

const TaskRow* find_row(const std::vector<TaskRow>& rows, const std::string& cell) {
  const auto found = std::ranges::find(rows, cell, &TaskRow::cell);
  return found == rows.end() ? nullptr : &*found;
}

double share_of(const TaskRow* row, size_t contender) {
  if (row == nullptr || row->scores[contender].samples == 0) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  return row->scores[contender].score;
}

std::string score_cell(const TaskScore& score) {
  return score.samples > 0 ? percent(score.score) : "-";
}

/// What was not measured holds nothing, and has no figures: a run may end before its turn.
std::string held_cell(const TaskScore& score) {
  return score.kv.dense_tokens > 0 ? fmt::format("1/{:.2f}", score.kv.cr) : "-";
}

std::string bytes_cell(const TaskScore& score) {
  return score.kv.dense_tokens > 0 ? fmt::format("{:.2f}", mebibytes(score.kv_bytes)) : "-";
}

std::vector<std::string> texts_of(const std::vector<int64_t>& values, const char* unit) {
  std::vector<std::string> texts;
  for (const int64_t value : values) texts.push_back(fmt::format("{}{}", value, unit));
  return texts;
}

/// The rows of one length.
std::vector<TaskRow> rows_of(const std::vector<TaskRow>& rows,
                             int64_t length,
                             const std::vector<int64_t>& depths) {
  std::vector<TaskRow> found;
  for (const int64_t depth : depths) {
    const TaskRow* row = find_row(rows, needle_cell(length, depth));
    if (row != nullptr) found.push_back(*row);
  }
  return found;
}

report::GridMap needle_map(const std::vector<TaskRow>& rows,
                           const std::vector<int64_t>& lengths,
                           const std::vector<int64_t>& depths,
                           size_t contender) {
  report::GridMap map{.title = rows.front().scores[contender].label,
                      .unit = {},
                      .x_name = "tokens",
                      .y_name = "depth",
                      .x_labels = texts_of(lengths, ""),
                      .y_labels = texts_of(depths, "%"),
                      .shares = {}};
  for (const int64_t depth : depths) {
    std::vector<double>& shares = map.shares.emplace_back();
    for (const int64_t length : lengths) {
      shares.push_back(share_of(find_row(rows, needle_cell(length, depth)), contender));
    }
  }
  return map;
}

/// What contenders miss against what they hold.
std::string task_chart(const std::vector<TaskScore>& means,
                       const std::string& cell,
                       const char* over) {
  report::Scatter chart{.title = fmt::format("Missed at {} tokens", cell),
                        .unit = fmt::format("missed, per cent: mean over {}", over),
                        .x_name = "KV cache, MiB",
                        .points = {},
                        .may_be_log = false,
                        .is_percent = true};
  const std::vector<SeriesPlace> places = places_of(means);
  for (size_t i = 0; i < means.size(); ++i) {
    if (means[i].samples == 0) continue;
    chart.points.push_back({.name = means[i].label,
                            .x = mebibytes(means[i].kv_bytes),
                            .y = 100 * (1 - means[i].score),
                            .series = places[i].series,
                            .lines = places[i].lines});
  }
  return report::render(chart);
}

/// Scores of one line of a suite's table.
void add_scores(report::DataTable& table,
                const std::string& name,
                const std::string& cell,
                const std::vector<TaskScore>& scores,
                const std::function<std::string(const TaskScore&)>& text) {
  std::vector<std::string> row{name, cell};
  for (const TaskScore& score : scores) row.push_back(text(score));
  table.rows.push_back(std::move(row));
}

std::vector<std::string> cells_of(const std::vector<TaskRow>& rows) {
  std::vector<std::string> cells;
  for (const TaskRow& row : rows) {
    if (std::ranges::find(cells, row.cell) == cells.end()) cells.push_back(row.cell);
  }
  return cells;
}

}  // namespace

Rendered rendered(report::DataTable table, const std::string& cards) {
  table.title.clear();
  Rendered result{.markdown = report::to_markdown(table), .table = {table.header}, .cards = cards};
  result.table.insert(result.table.end(), table.rows.begin(), table.rows.end());
  return result;
}

Rendered render_text(const std::vector<TextRow>& rows, const std::vector<std::string>& pieces) {
  if (rows.empty()) return {};
  const report::DataTable table = text_table(rows);
  std::string cards = report::to_card(table);
  if (rows.front().kld) {
    cards += text_chart(
        rows, "Divergence from the full cache", "KLD, nats a token", [](const TextRow& row) {
          return *row.kld;
        });
  }
  cards +=
      text_chart(rows, "Perplexity", "perplexity", [](const TextRow& row) { return row.ppl(); });
  for (const TextRow& row : rows) {
    if (row.kv.held_tokens == row.kv.dense_tokens) continue;
    std::string held;
    if (heads_differ(row.kv)) {
      held += report::render_retention(kept_shares(row.kv), row.label + ", while it is scored");
    }
    cards += report::fold("What is held under " + row.label,
                          held + shaded_text(row, pieces),
                          rows.size() <= kMostOpen);
  }
  return rendered(table, cards);
}

std::string needle_cell(int64_t length, int64_t depth) {
  return fmt::format("{} {}", length, depth);
}

Rendered render_needles(const std::vector<TaskRow>& rows,
                        const std::vector<int64_t>& lengths,
                        const std::vector<int64_t>& depths) {
  if (rows.empty()) return {};
  report::DataTable table{.title = {}, .header = {"policy", "tokens"}, .rows = {}};
  for (const int64_t depth : depths) table.header.push_back(fmt::format("at {}%", depth));
  table.header.insert(table.header.end(), {"mean", "KV held", "KV MiB"});
  constexpr const char* kMaps = "Needles found";
  constexpr const char* kMapsNote = "per cent of the prompts, by length and depth";
  std::string charts;
  std::string maps;
  for (const int64_t length : lengths) {
    const std::vector<TaskScore> means = task_means(rows_of(rows, length, depths));
    if (!means.empty()) charts += task_chart(means, fmt::format("{}", length), "depths");
  }
  for (size_t i = 0; i < rows.front().scores.size(); ++i) {
    for (const int64_t length : lengths) {
      const std::vector<TaskRow> of_length = rows_of(rows, length, depths);
      if (of_length.empty()) continue;
      const TaskScore mean = task_means(of_length)[i];
      std::vector<std::string>& cells = table.rows.emplace_back();
      cells = {mean.label, fmt::format("{}", length)};
      for (const int64_t depth : depths) {
        const TaskRow* row = find_row(of_length, needle_cell(length, depth));
        cells.push_back(row == nullptr ? "-" : score_cell(row->scores[i]));
      }
      cells.insert(cells.end(), {score_cell(mean), held_cell(mean), bytes_cell(mean)});
    }
    maps += report::render(needle_map(rows, lengths, depths, i));
  }
  table.title = "Needles found, per cent";
  return rendered(table, charts + report::group(kMaps, kMapsNote, maps) + report::to_card(table));
}

Rendered render_tasks(const std::string& suite,
                      const std::vector<TaskRow>& rows,
                      const LeftOut& left_out) {
  if (rows.empty()) return {};
  report::DataTable table{.title = {}, .header = {"task", "tokens"}, .rows = {}};
  for (const TaskScore& score : rows.front().scores) table.header.push_back(score.label);
  std::string charts;
  for (const std::string& cell : cells_of(rows)) {
    std::vector<TaskRow> of_length;
    std::ranges::copy_if(rows, std::back_inserter(of_length), [&cell](const TaskRow& row) {
      return row.cell == cell;
    });
    for (const TaskRow& row : of_length) add_scores(table, row.task, cell, row.scores, score_cell);
    const std::vector<TaskScore> means = task_means(of_length);
    charts += task_chart(means, cell, "tasks");
    add_scores(table, fmt::format("mean of {}", of_length.size()), cell, means, score_cell);
    add_scores(table, "KV held", cell, means, held_cell);
    add_scores(table, "KV MiB", cell, means, bytes_cell);
  }
  for (const auto& [task, reason] : left_out) {
    std::vector<std::string> row(table.header.size(), "-");
    row[0] = fmt::format("{}: {}", task, reason);
    table.rows.push_back(std::move(row));
  }
  table.title = suite + ", per cent";
  return rendered(table, report::to_card(table) + charts);
}

std::string page(const std::string& title,
                 const std::vector<std::pair<std::string, std::string>>& facts,
                 const std::string& cards) {
  return report::render(
      {.title = title, .cards = cards + report::table_card("What was measured", facts)});
}

}  // namespace dms::eval
