#pragma once
// Results as tables and charts for people.

#include <string>
#include <utility>
#include <vector>

#include "eval/task_eval.h"
#include "eval/text_eval.h"
#include "report/data_table.h"

namespace dms::eval {

struct Rendered {
  std::string markdown;
  std::vector<std::vector<std::string>> table;  // the same cells, the header first
  std::string cards;                            // of the HTML page
};

/// The table beside cards of the page, which may hold it already.
Rendered rendered(report::DataTable table, const std::string& cards);

/// One row a contender; what is lost against bytes, what heads hold, and the text shaded by it.
/// `pieces`: the text's tokens; empty: they have no text.
Rendered render_text(const std::vector<TextRow>& rows, const std::vector<std::string>& pieces = {});

/// The cell of a needle, as a row calls it: "4096 50", tokens and per cent of depth.
std::string needle_cell(int64_t length, int64_t depth);
/// One row a contender and length, a column a depth; a map of both for each contender.
Rendered render_needles(const std::vector<TaskRow>& rows,
                        const std::vector<int64_t>& lengths,
                        const std::vector<int64_t>& depths);

/// Tasks that were left out, and why.
using LeftOut = std::vector<std::pair<std::string, std::string>>;
/// One row a task and length (its cell), a column a contender; means and memory below. `suite`:
/// "RULER".
Rendered render_tasks(const std::string& suite,
                      const std::vector<TaskRow>& rows,
                      const LeftOut& left_out);

/// A page by itself. `facts`: what was evaluated and how.
std::string page(const std::string& title,
                 const std::vector<std::pair<std::string, std::string>>& facts,
                 const std::string& cards);

}  // namespace dms::eval
