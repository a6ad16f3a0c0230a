#pragma once
// What `dms eval` can do. Each throws InputError before anything is measured.

#include "cli/eval_options.h"

namespace dms::cli {

/// ppl and kld.
void eval_text(const EvalOptions& options);
void eval_needle(const EvalOptions& options);
void eval_ruler(const EvalOptions& options);

/// --policies, or where nothing is said `none`, and `dms` where the model has it. With
/// `needs_full`, `none` comes first where it is not in the list.
std::string policy_list_of(const EvalOptions& options, const ModelInfo& info, bool needs_full);

}  // namespace dms::cli
