#include "cli/bench_options.h"

#include <fmt/format.h>

#include "cli/list_option.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/parse.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

constexpr int64_t kMaxConcurrency = 4096;
constexpr int64_t kMaxRepeats = 1000;

/// Needles are hidden in text, and looked for one prompt after the other.
void check_methods(const BenchOptions& options) {
  const auto refuse = [](const char* option) {
    throw InputError({.where = "--methods", .what = std::string("not beside ") + option});
  };
  if (options.random_weights) refuse("--random-weights");
  if (options.sessions) refuse("--sessions");
  if (!options.policies.empty()) refuse("--policy");
  if (options.gen_tokens == 0) refuse("--gen 0");
  refuse_twice("--prompt-lens", options.prompt_lens);
  if (options.force && options.out.empty()) {
    throw InputError({.where = "--force", .what = "goes with --out DIR"});
  }
}

void refuse_methods_own(const BenchOptions& options) {
  const auto refuse = [](const char* option, bool is_given) {
    if (is_given) throw InputError({.where = option, .what = "goes with --methods"});
  };
  refuse("--out", !options.out.empty());
  refuse("--force", options.force);
  refuse("--csv", !options.csv.empty());
  refuse("--html", !options.html.empty());
}

void check(const BenchOptions& options) {
  const bool has_config = !options.config.empty();
  if (has_config != options.random_weights) {
    throw InputError({.where = has_config ? "--config" : "--random-weights",
                      .what = "goes with " + std::string(has_config ? "--random-weights"
                                                                    : "--config config.json")});
  }
  if (has_config == !options.model.empty()) {
    throw InputError({.where = "MODEL",
                      .what = has_config ? "given beside --config" : "missing",
                      .expected = "a Hugging Face folder, or --config F --random-weights"});
  }
  if (options.methods.empty()) {
    refuse_methods_own(options);
  } else {
    check_methods(options);
  }
  if (options.sessions && options.model_options.kv_memory_bytes == 0) {
    throw InputError({.where = "--sessions", .what = "goes with --kv-memory SIZE"});
  }
}

/// Where conversations are counted or needles looked for, some options do nothing.
void note_idle_options(const CLI::App& app, const BenchOptions& options) {
  const bool has_methods = !options.methods.empty();
  if (!options.sessions && !has_methods) return;
  std::vector<std::string> idle;
  for (const char* name : {"--concurrency", "--context"}) {
    if (is_given(app, name)) idle.emplace_back(name);
  }
  for (const char* name : {"--gen", "--repeat"}) {
    if (is_given(app, name) && !has_methods) idle.emplace_back(name);
  }
  const char* const with = has_methods ? "--methods" : "--sessions";
  if (!idle.empty()) note(fmt::format("{}: without effect with {}", fmt::join(idle, ", "), with));
}

void add_methods_outputs(CLI::App& app, BenchOptions& options) {
  const OptionGroup group(app, "with --methods");
  add_text(app, "--out", options.out, "DIR", "Keep what is measured there; the next run goes on");
  add_flag(app, "--force", options.force, "Begin again what --out holds");
  add_text(app, "--csv", options.csv, "FILE", "Write the rows as CSV");
  add_text(app, "--html", options.html, "FILE", "Write a page with the table and charts");
}

}  // namespace

void add_bench_options(CLI::App& app, BenchOptions& options) {
  add_model_folder(app, options.model);
  add_input_file(app, "--config", options.config, "A config.json instead of MODEL");
  add_flag(app, "--random-weights", options.random_weights, "Random weights for --config");
  add_integer_list(
      app, "--prompt-lens", options.prompt_lens, 1, kMaxTokens, "Prompts (default 512)");
  add_integer(
      app, "--gen", options.gen_tokens, 0, kMaxTokens, "Tokens to decode (default 32; 0: none)");
  add_integer_list(app,
                   "--concurrency",
                   options.concurrencies,
                   1,
                   kMaxConcurrency,
                   "Sequences (default 1); given, serves as many\nrequests at once too");
  add_integer(app,
              "--context",
              options.context_tokens,
              0,
              kMaxTokens,
              "Fill the cache with N tokens first, uncounted");
  add_flag(
      app,
      "--sessions",
      options.sessions,
      "Count conversations of --prompt-lens that fit into\n--kv-memory, and measure nothing else");
  add_integer(app, "--repeat", options.repeats, 1, kMaxRepeats, "Measurements each (default 3)");
  add_value(
      app, "--seed", "N", "Of random weights and prompts", [&options](const std::string& text) {
        options.seed = parse_seed("--seed", text);
      });
  add_list(app, "--policy", options.policies, "Policies to compare, with settings as random:cr=8");
  add_list(app,
           "--methods",
           options.methods,
           "Compare these, with settings as dms eval's\n--policies, by a needle in each of "
           "--prompt-lens");
  add_flag(app, "--json", options.json, "Print one JSON object");
  add_methods_outputs(app, options);
  add_cache_options_but_policy(app, options.cache);
  add_model_options(app, options.model_options);
  add_scheduling_options(app, options.model_options);
}

void settle_bench_options(const CLI::App& app, BenchOptions& options) {
  check(options);
  note_idle_options(app, options);
  options.serves =
      is_given(app, "--concurrency") && options.gen_tokens > 0 && options.context_tokens == 0;
}

}  // namespace dms::cli
