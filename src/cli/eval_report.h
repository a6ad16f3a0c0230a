#pragma once
// What `dms eval` measured, as Markdown, JSON, CSV and a page.

#include <string>

#include "cli/eval_options.h"
#include "cli/output.h"
#include "eval/rendered.h"

namespace dms::cli {

/// One evaluation's results in all their forms.
struct EvalReport {
  OutputJson head = OutputJson::object();  // what was evaluated and how: names and plain values
  OutputJson rows = OutputJson::array();   // objects with the same fields
  eval::Rendered rendered{};
};

OutputJson text_rows_json(const std::vector<eval::TextRow>& rows);
/// A row for each task, cell and contender. Cells have one number, the length, or two, and the
/// depth.
OutputJson task_rows_json(const std::vector<eval::TaskRow>& rows);

/// Rows under a header of their fields; objects within are flattened: "kv.cr". Empty without rows.
std::string to_csv(const OutputJson& rows);

/// Tells on standard error of policies that evicted nothing of what was measured, as where their
/// defaults are larger than the texts. `name`: the rows' field that says which one.
void note_idle_policies(const OutputJson& rows, const std::string& name);

/// For --csv and --html, before the work: throws InputError where one could not be written, or two
/// are one file, the results that --out keeps among them.
void check_report_files(const std::string& csv, const std::string& html, const std::string& out);

/// Markdown, or on a terminal that is too narrow the same cells in columns that fit.
std::string fitting_table(const eval::Rendered& rendered);
/// "dms eval ppl: demo".
std::string page_title(const std::string& command, const std::string& model);
/// To --csv and --html, where they are named.
void write_report_files(const std::string& csv,
                        const std::string& html,
                        const std::string& title,
                        const EvalReport& report);

/// To standard output, --csv and --html; nothing, and false, where there is no row.
bool write_report(const EvalOptions& options, const ModelInfo& info, const EvalReport& report);

}  // namespace dms::cli
