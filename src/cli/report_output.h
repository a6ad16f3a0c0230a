#pragma once
// A report's results in all their forms.

#include <string>

#include "cli/report_run.h"

namespace dms::cli {

struct ReportForms {
  OutputJson json;  // rows with the same fields whatever was measured, and what failed
  std::string csv;
  std::string markdown;  // one table of all, a table for each evaluation, and what failed
  std::string html;
  std::string summary;  // that one table, and what failed
};

/// How an interrupted report is gone on with.
std::string next_of(const ReportResults& results);

ReportForms render_report(const std::string& title, const ReportResults& results);

}  // namespace dms::cli
