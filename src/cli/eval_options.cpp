#include "cli/eval_options.h"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include <fmt/format.h>

#include "base/suggest.h"
#include "cli/list_option.h"
#include "cli/options.h"
#include "cli/parse.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

constexpr int64_t kMaxSamples = 100'000;
constexpr int64_t kMaxDigits = 18;

const std::array<std::string, 5> kActions{"ppl", "kld", "needle", "ruler", "longbench"};

/// Options that only some actions have.
struct OwnOption {
  const char* name;
  std::string_view actions;
};
constexpr std::array kOwnOptions{
    OwnOption{"--text-file", "ppl kld"},
    OwnOption{"--ids", "ppl kld"},
    OwnOption{"--no-special", "ppl kld"},
    OwnOption{"--context", "ppl kld"},
    OwnOption{"--stride", "ppl kld"},
    OwnOption{"--first-scored", "ppl kld"},
    OwnOption{"--max-tokens", "ppl kld"},
    OwnOption{"--decode", "ppl kld"},
    OwnOption{"--lengths", "needle ruler longbench"},
    OwnOption{"--samples", "needle ruler longbench"},
    OwnOption{"--seed", "needle ruler"},
    OwnOption{"--haystack", "needle ruler"},
    OwnOption{"--hide-question", "needle ruler longbench"},
    OwnOption{"--chat", "needle ruler longbench"},
    OwnOption{"--depths", "needle"},
    OwnOption{"--digits", "needle"},
    OwnOption{"--tasks", "ruler longbench"},
    OwnOption{"--data", "longbench"},
    OwnOption{"--segmenter", "longbench"},
    OwnOption{"--squad", "ruler"},
    OwnOption{"--hotpotqa", "ruler"},
};

void add_count(CLI::App& app,
               const std::string& name,
               std::optional<int64_t>& target,
               int64_t min,
               const std::string& help) {
  add_value(app, name, "N", help, [name, &target, min](const std::string& text) {
    target = parse_integer(name, text, min, kMaxTokens);
  });
}

void add_output_options(CLI::App& app, EvalOptions& options) {
  add_text(app, "--out", options.out, "DIR", "Keep what is measured there; the next run goes on");
  add_flag(app, "--force", options.force, "Begin again what --out holds");
  add_text(app, "--csv", options.csv, "FILE", "Write the rows as CSV");
  add_text(app, "--html", options.html, "FILE", "Write a page with tables and charts");
  add_flag(app, "--json", options.json, "Print one JSON object");
}

void add_text_options(CLI::App& app, EvalOptions& options) {
  const OptionGroup group(app, "ppl and kld");
  add_input_file(app, "--text-file", options.text.text_file, "A text file, '-' for stdin");
  add_input_file(app, "--ids", options.text.ids_file, "Token ids, a JSON array");
  add_flag(app, "--no-special", options.text.no_special, "Add no special tokens");
  add_count(app, "--max-tokens", options.max_tokens, 2, "The text's first N tokens only");
  add_count(app,
            "--context",
            options.context,
            2,
            "Tokens of a window (default: the model's\ncontext, at most 4096)");
  add_count(app, "--stride", options.stride, 1, "that begin N apart (default: context / 2)");
  add_count(app,
            "--first-scored",
            options.first_scored,
            1,
            "The first window's prompt: N tokens that are not\nscored (default: context - stride)");
  add_integer(app,
              "--decode",
              options.decode_tokens,
              0,
              kMaxTokens,
              "Scored tokens of a window appended one by one\n(default 16)");
}

void add_task_options(CLI::App& app, EvalOptions& options) {
  const OptionGroup group(app, "needle, ruler and longbench");
  add_integer_list(app,
                   "--lengths",
                   options.lengths,
                   1,
                   kMaxTokens,
                   "Tokens of prompt and answer (default: 512,1024,\n2048 for needle, 4096 for "
                   "ruler and longbench)");
  add_integer(
      app, "--samples", options.samples, 1, kMaxSamples, "Prompts of each kind (default 10)");
  add_value(app, "--seed", "N", "Of the prompts (default 42)", [&options](const std::string& text) {
    options.seed = parse_seed("--seed", text);
  });
  add_input_file(
      app, "--haystack", options.haystack, "Text around the needles (default: RULER's noise)");
  add_flag(app,
           "--hide-question",
           options.hides_question,
           "Compress what stands before the question first");
  add_flag(app, "--chat", options.is_chat, "Put prompts into the model's chat template");
  add_integer_list(app,
                   "--depths",
                   options.depths,
                   0,
                   100,
                   "needle: places, in per cent (default\n0,25,50,75,100)");
  add_integer(app, "--digits", options.digits, 1, kMaxDigits, "needle: of its number (default 7)");
  add_value(app,
            "--tasks",
            "NAME,...",
            "ruler, longbench: some of its tasks (default: all)",
            [&options](const std::string& text) { options.tasks = parse_list("--tasks", text); });
  add_input_file(app, "--squad", options.squad, "ruler: SQuAD 2.0's JSON, for qa_1");
  add_input_file(app, "--hotpotqa", options.hotpot, "ruler: HotpotQA's JSON, for qa_2");
  add_text(app, "--data", options.data, "DIR", "longbench: its JSON Lines files, one a task");
  add_value(app,
            "--segmenter",
            "COMMAND",
            "longbench: cuts Chinese lines into words for\nthree tasks' scores, as in 'python3 -m "
            "jieba -q\n-d'; no shell, quotes hold words together",
            [&options](const std::string& text) {
              options.segmenter = parse_command("--segmenter", text);
            });
}

void refuse(const std::string& where, const std::string& what) {
  throw InputError({.where = where, .what = what});
}

}  // namespace

void add_eval_options(CLI::App& app, EvalOptions& options) {
  add_text(app, "ACTION", options.action, "", "ppl, kld, needle, ruler or longbench");
  add_model_folder(app, options.model);
  add_list(
      app,
      "--policies",
      options.policies,
      "What to compare, with settings as\ndms:kv_dtype=int8,snapkv:budget=25% (of the text);\n"
      "window=N, weights=TYPE and adapter=DIR are settings\nof each (default: none, and what the "
      "model or\n--adapter evicts by)");
  add_output_options(app, options);
  add_text_options(app, options);
  add_task_options(app, options);
  add_cache_options_but_policy(app, options.cache);
  add_model_options(app, options.model_options);
}

void settle_eval_options(const CLI::App& app, const EvalOptions& options) {
  if (std::ranges::find(kActions, options.action) == kActions.end()) {
    throw InputError({.where = "ACTION",
                      .what = options.action.empty() ? "missing" : "unknown",
                      .got = options.action,
                      .expected = "ppl, kld, needle, ruler or longbench",
                      .hint = did_you_mean(options.action, kActions)});
  }
  require_model(options.model);
  for (const OwnOption& own : kOwnOptions) {
    const bool is_own = own.actions.find(options.action) != std::string_view::npos;
    if (!is_own && is_given(app, own.name)) {
      refuse(own.name, fmt::format("not an option of dms eval {}", options.action));
    }
  }
  refuse_twice("--lengths", options.lengths);
  refuse_twice("--depths", options.depths);
  refuse_twice("--tasks", options.tasks);
  if (options.force && options.out.empty()) refuse("--force", "goes with --out DIR");
}

}  // namespace dms::cli
