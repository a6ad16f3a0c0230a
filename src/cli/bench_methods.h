#pragma once
// `dms bench --methods`: what each method makes of a long prompt with a needle in it, by context
// length: time, speed, memory, and whether the needle is found.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cli/bench_options.h"
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
  int64_t prompts = 0;        // fewer than `repeat` where Ctrl-C ended it
  int64_t found = 0;
  std::string failure{};  // why there are no numbers: no memory for them, say
};

/// Takes the rows of which something is done or that failed, however the measurements ended.
using MethodSink = std::function<void(const std::vector<MethodRun>& rows)>;

/// What `options.out` holds is not measured again. Throws InputError before anything is measured,
/// and Interrupted after the rows were handed over.
void measure_methods(const BenchOptions& options, const MethodSink& sink);

}  // namespace dms::cli
