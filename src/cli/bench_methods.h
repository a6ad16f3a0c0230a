#pragma once
// `dms bench --methods`: what each method makes of a long prompt with a needle in it, by context
// length: time, speed, memory, and whether the needle is found.

#include <cstdint>
#include <string>
#include <vector>

#include "cli/bench_options.h"
#include "cli/output.h"
#include "cli/samples.h"
#include "dms/llm.h"

namespace dms::cli {

/// One row: a method at a context length, `repeat` prompts.
struct MethodRun {
  int64_t context_tokens = 0;  // prompt and answer together
  std::string method;
  Samples seconds{};        // prompt and answer
  Samples first_token_s{};  // the prompt alone
  Samples tok_s{};          // of the answer's tokens, the prompt's time included
  Samples decode_tok_s{};   // without it
  int64_t weight_bytes = 0;
  int64_t kv_peak_bytes = 0;  // at most between passes
  KvStats kv{};               // after the last answer
  int64_t prompts = 0;
  int64_t found = 0;
  std::string failure{};  // why there are no numbers: no memory for them, say
};

/// What is measured stays, whatever comes after it.
struct MethodRuns {
  std::vector<MethodRun> rows;
  bool is_interrupted = false;  // by Ctrl-C: those that follow are missing

  /// Whether a row has numbers.
  bool has_numbers() const;
};

/// Throws InputError before anything is measured.
MethodRuns measure_methods(const BenchOptions& options);

/// A row that failed has no numbers but its context, and says why in `failed`.
OutputJson methods_json(const BenchOptions& options, const std::vector<MethodRun>& runs);
/// Markdown, or on a terminal that is too narrow the same cells in columns that fit.
std::string methods_table(const std::vector<MethodRun>& runs, size_t columns);

}  // namespace dms::cli
