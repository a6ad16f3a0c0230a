// dms calibrate: eviction fitted to a model as it is, without training.

#include "dms/calibrate.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "base/suggest.h"
#include "cli/command.h"
#include "cli/declare.h"
#include "cli/input.h"
#include "cli/output.h"
#include "cli/parse.h"
#include "cli/progress.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

constexpr int64_t kMost = int64_t{1} << 24;
const std::array<std::string, 2> kMethods{"kvzap", "triattention"};

struct Options {
  std::string method;
  std::string model;
  std::string out;
  std::string text_file;
  std::optional<double> ratio;
  std::optional<double> cr;
  std::optional<int64_t> window_tokens;
  std::optional<int64_t> sinks;
  std::optional<int64_t> hidden_units;
  std::optional<uint64_t> seed;
  std::optional<int64_t> tokens;
  std::string dtype = "bf16";
  int64_t threads = 0;
  bool json = false;
};

void require(const char* option, const std::string& value, const char* expected) {
  if (!value.empty()) return;
  throw InputError({.where = option, .what = "missing", .expected = expected});
}

void refuse(const char* name, bool is_given, const char* expected) {
  if (!is_given) return;
  throw InputError(
      {.where = name, .what = "has no meaning for triattention", .expected = expected});
}

/// Statistics of queries leave it to the policy how much stays, and are no fit.
void refuse_fit(const Options& options) {
  const char* budget = "a budget where its result is used: --policy-args budget=N";
  refuse("--ratio", options.ratio.has_value(), budget);
  refuse("--cr", options.cr.has_value(), budget);
  refuse("--window", options.window_tokens.has_value(), budget);
  refuse("--n-sink", options.sinks.has_value(), budget);
  refuse("--hidden", options.hidden_units.has_value(), "kvzap, which fits scores");
  refuse("--seed", options.seed.has_value(), "kvzap, which fits scores");
}

void check_words(const Options& options) {
  if (std::ranges::find(kMethods, options.method) == kMethods.end()) {
    throw InputError({.where = "METHOD",
                      .what = options.method.empty() ? "missing" : "unknown",
                      .got = options.method,
                      .expected = "kvzap or triattention",
                      .hint = did_you_mean(options.method, kMethods)});
  }
  require("MODEL", options.model, "a Hugging Face folder or a .gguf file");
  require("--text", options.text_file, "a text like what the model will see");
  require("--out", options.out, "the adapter's folder");
  if (options.method == "triattention") refuse_fit(options);
  if (options.cr && *options.cr <= 1) {
    throw InputError({.where = "--cr",
                      .what = "out of range",
                      .got = fmt::format("{}", *options.cr),
                      .expected = "more than 1"});
  }
  if (options.seed && !options.hidden_units) {
    throw InputError({.where = "--seed",
                      .what = "has no meaning for linear scores, which are fitted in closed form",
                      .expected = "--hidden N beside it"});
  }
  if (options.ratio && options.cr) {
    throw InputError({.where = "--cr",
                      .what = "says the same as --ratio",
                      .got = "both",
                      .expected = "one of them"});
  }
}

void print_result(const Options& options, const KvzapResult& result, double seconds) {
  const double cr = 1 / result.kept;
  if (options.json) {
    print_json({{"out", options.out},
                {"fitted_tokens", result.fitted_tokens},
                {"held_out_tokens", result.held_out_tokens},
                {"r2", result.r2},
                {"lowest_r2", result.lowest_r2},
                {"linear_r2", result.linear_r2},
                {"lowest_linear_r2", result.lowest_linear_r2},
                {"threshold", result.threshold},
                {"kept", result.kept},
                {"cr", cr},
                {"seconds", seconds}});
    return;
  }
  print(
      fmt::format("{}: fitted to {} tokens in {:.0f} s\n"
                  "on {} held-out tokens R2 {:.3f} (lowest {:.3f}), {:.1f} % kept beyond the "
                  "window (CR {:.2f}), threshold {:.3f}\n",
                  options.out,
                  result.fitted_tokens,
                  seconds,
                  result.held_out_tokens,
                  result.r2,
                  result.lowest_r2,
                  100 * result.kept,
                  cr,
                  result.threshold));
  if (!options.hidden_units) return;
  print(fmt::format("linear scores of the same text: R2 {:.3f} (lowest {:.3f})\n",
                    result.linear_r2,
                    result.lowest_linear_r2));
}

void print_result(const Options& options, const TriattentionResult& result, double seconds) {
  if (options.json) {
    print_json({{"out", options.out},
                {"tokens", result.tokens},
                {"concentration", result.concentration},
                {"lowest_concentration", result.lowest_concentration},
                {"seconds", seconds}});
    return;
  }
  print(
      fmt::format("{}: queries of {} tokens in {:.0f} s\n"
                  "their means have {:.3f} of their size, mean over heads (lowest {:.3f})\n",
                  options.out,
                  result.tokens,
                  seconds,
                  result.concentration,
                  result.lowest_concentration));
}

KvzapOptions kvzap_options(const Options& options) {
  KvzapOptions kvzap{
      .text = read_text(options.text_file), .dtype = options.dtype, .threads = options.threads};
  if (options.ratio) kvzap.ratio = *options.ratio;
  if (options.cr) kvzap.ratio = 1 - 1 / *options.cr;
  kvzap.tokens = options.tokens.value_or(kvzap.tokens);
  kvzap.window_tokens = options.window_tokens.value_or(kvzap.window_tokens);
  kvzap.sinks = options.sinks.value_or(kvzap.sinks);
  kvzap.hidden_units = options.hidden_units.value_or(kvzap.hidden_units);
  kvzap.seed = options.seed.value_or(kvzap.seed);
  return kvzap;
}

TriattentionOptions triattention_options(const Options& options) {
  TriattentionOptions triattention{
      .text = read_text(options.text_file), .dtype = options.dtype, .threads = options.threads};
  triattention.tokens = options.tokens.value_or(triattention.tokens);
  return triattention;
}

/// `run`: of one method, given what shows its progress.
template <class Run>
void timed(const Options& options, Run run) {
  const auto start = std::chrono::steady_clock::now();
  const auto result = [&] {
    ProgressLine progress("calibrate");
    return run(progress.callback());
  }();
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  print_result(options, result, spent.count());
}

void calibrate(const Options& options) {
  check_words(options);
  if (options.method == "kvzap") {
    timed(options, [&, kvzap = kvzap_options(options)](const Progress& progress) {
      return calibrate_kvzap(options.model, options.out, kvzap, progress);
    });
  } else {
    timed(options, [&, triattention = triattention_options(options)](const Progress& progress) {
      return calibrate_triattention(options.model, options.out, triattention, progress);
    });
  }
}

/// A whole number that is known to be given or not.
void add_optional(CLI::App& app,
                  const char* name,
                  std::optional<int64_t>& target,
                  int64_t min,
                  const std::string& help) {
  add_value(app, name, "N", help, [name, min, &target](const std::string& text) {
    target = parse_integer(name, text, min, kMost);
  });
}

int64_t parse_hidden(const std::string& text) {
  const int64_t hidden = parse_integer("--hidden", text, 0, kMost);
  if (hidden > 0) return hidden;
  throw InputError({.where = "--hidden",
                    .what = "a hidden layer without units",
                    .got = text,
                    .expected = "two for each KV head, or more",
                    .hint = "leave it out for linear scores"});
}

void add_kvzap(CLI::App& app, Options& options) {
  constexpr double kMostCr = 1e6;
  const OptionGroup group(app, "kvzap");
  add_value(
      app,
      "--ratio",
      "X",
      "Share of tokens that goes beyond the window (0.875)",
      [&options](const std::string& text) { options.ratio = parse_number("--ratio", text, 0, 1); });
  add_value(app, "--cr", "X", "The same as a factor (8)", [&options](const std::string& text) {
    options.cr = parse_number("--cr", text, 1, kMostCr);
  });
  add_optional(app,
               "--window",
               options.window_tokens,
               0,
               "Tokens kept exactly, whatever their scores (128)");
  add_optional(app, "--n-sink", options.sinks, 0, "First tokens, which stay (4)");
  add_value(app,
            "--hidden",
            "N",
            "Scores with a hidden layer of N units (linear)",
            [&options](const std::string& text) { options.hidden_units = parse_hidden(text); });
  add_value(app, "--seed", "N", "Of that fit (0)", [&options](const std::string& text) {
    options.seed = parse_seed("--seed", text);
  });
}

CommandBody define(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_text(
      app, "METHOD", options->method, "", "kvzap (scores, a threshold) or triattention (means)");
  add_text(app, "MODEL", options->model, "", "Hugging Face folder or .gguf file");
  add_input_file(app, "--text", options->text_file, "Text like what the model will see");
  add_text(app, "--out", options->out, "DIR", "Folder to write, for --adapter");
  add_optional(
      app, "--tokens", options->tokens, 1, "Read at most N tokens (65536; triattention 32768)");
  add_text(app, "--dtype", options->dtype, "TYPE", "f32 or bf16 (default)");
  add_integer(app, "--threads", options->threads, 1, 1024, "Default: all cores");
  add_flag(app, "--json", options->json, "Print one JSON object");
  add_kvzap(app, *options);
  return [options] { calibrate(*options); };
}

}  // namespace

Command calibrate_command() {
  return {.name = "calibrate",
          .summary = "Fit eviction to a model in minutes, without training",
          .examples =
              "  dms calibrate kvzap models/SmolLM2 --text prose.txt --out models/SmolLM2-kvzap\n"
              "  dms calibrate kvzap model.gguf --text chat.txt --out zap --cr 4 --window 256\n"
              "  dms calibrate kvzap models/SmolLM2 --text t.txt --out mlp --hidden 64\n"
              "  dms calibrate triattention models/SmolLM2 --text prose.txt --out means\n"
              "  dms generate models/SmolLM2 --adapter models/SmolLM2-kvzap -p \"Once upon\"\n",
          .define = define};
}

}  // namespace dms::cli
