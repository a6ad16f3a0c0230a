#pragma once
// What `dms eval` can do. Each throws InputError before anything is measured, and Interrupted.

#include <functional>
#include <string>

#include "cli/eval_options.h"
#include "cli/eval_report.h"

namespace dms::cli {

/// Takes an evaluation's results when it has ended, however it did; false where there are none.
using ReportSink = std::function<bool(const EvalReport& report, const ModelInfo& info)>;

/// One of these, by its action.
void evaluate(const EvalOptions& options, const ReportSink& sink);
/// ppl and kld.
void eval_text(const EvalOptions& options, const ReportSink& sink);
void eval_needle(const EvalOptions& options, const ReportSink& sink);
void eval_ruler(const EvalOptions& options, const ReportSink& sink);
void eval_longbench(const EvalOptions& options, const ReportSink& sink);

/// --policies, or where nothing is said `none`, and `dms` where the model has it. With
/// `needs_full`, `none` comes first where it is not in the list.
std::string policy_list_of(const EvalOptions& options, const ModelInfo& info, bool needs_full);

}  // namespace dms::cli
