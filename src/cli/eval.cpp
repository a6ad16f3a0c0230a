// dms eval: what policies lose and what they cost, side by side, in one run.

#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "cli/adapter_use.h"
#include "cli/command.h"
#include "cli/declare.h"
#include "cli/eval_actions.h"
#include "cli/eval_report.h"
#include "cli/eval_run.h"
#include "cli/output.h"
#include "cli/parse.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

/// Results that are kept know the text by its tokens, which either of two options may have named.
InputError of_option(const InputError& error, const EvalOptions& options) {
  ErrorParts parts = error.parts();
  if (options.is_text() && parts.field == "text") {
    parts.field = options.text.text_file.empty() ? "--ids" : "--text-file";
  }
  return InputError(parts);
}

void evaluate_and_write(const EvalOptions& options) {
  check_report_files(options.csv, options.html, options.out);
  try {
    evaluate(options, [&options](const EvalReport& report, const ModelInfo& info) {
      return write_report(options, info, report);
    });
  } catch (const Interrupted& interrupted) {
    end_as_interrupted(interrupted, options.out.empty() ? "" : next_command(options.force));
  } catch (const InputError& error) {
    throw of_option(error, options);
  }
}

CommandBody define(CLI::App& app) {
  auto options = std::make_shared<EvalOptions>();
  add_eval_options(app, *options);
  return [options, &app] {
    settle_eval_options(app, *options);
    evaluate_and_write(*options);
  };
}

}  // namespace

void evaluate(const EvalOptions& options, const ReportSink& sink) {
  if (options.is_text()) {
    eval_text(options, sink);
  } else if (options.action == "needle") {
    eval_needle(options, sink);
  } else if (options.action == "ruler") {
    eval_ruler(options, sink);
  } else {
    eval_longbench(options, sink);
  }
}

std::string policy_list_of(const EvalOptions& options, const ModelInfo& info, bool needs_full) {
  const std::string own = own_policy(info);
  if (options.policies.empty()) return own.empty() ? "none" : "none," + own;
  if (!needs_full) return options.policies;
  const std::vector<std::string> names = parse_list("--policies", options.policies);
  const bool has_full = std::ranges::find(names, "none") != names.end();
  return has_full ? options.policies : "none," + options.policies;
}

Command eval_command() {
  return {.name = "eval",
          .summary = "Compare policies: perplexity, needles, RULER, LongBench",
          .examples =
              "  dms eval ppl models/demo --text-file examples/long_prompt.txt \\\n"
              "      --policies none,dms,streaming:recent_size=256\n"
              "  dms eval kld models/demo --text-file book.txt --max-tokens 20000 \\\n"
              "      --policies none,dms:kv_dtype=int8,random:cr=8 --out kld --html kld.html\n"
              "  dms eval needle models/demo --digits 4 --lengths 500,1000 --samples 5\n"
              "  dms eval ruler MODEL --haystack essays.txt --tasks niah_single_2,vt,fwe \\\n"
              "      --policies none,snapkv:compression_ratio=0.75 --hide-question\n",
          .define = define};
}

}  // namespace dms::cli
