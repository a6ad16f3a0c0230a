// dms calibrate: eviction fitted to a model as it is, without training.

#include "dms/calibrate.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <optional>

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

const std::array<std::string, 1> kMethods{"kvzap"};

struct Options {
  std::string method;
  std::string model;
  std::string out;
  std::string text_file;
  std::optional<double> ratio;
  std::optional<double> cr;
  KvzapOptions kvzap;
  bool json = false;
};

void require(const char* option, const std::string& value, const char* expected) {
  if (!value.empty()) return;
  throw InputError({.where = option, .what = "missing", .expected = expected});
}

void check_words(const Options& options) {
  if (std::ranges::find(kMethods, options.method) == kMethods.end()) {
    throw InputError({.where = "METHOD",
                      .what = options.method.empty() ? "missing" : "unknown",
                      .got = options.method,
                      .expected = "kvzap",
                      .hint = did_you_mean(options.method, kMethods)});
  }
  require("MODEL", options.model, "a Hugging Face folder or a .gguf file");
  require("--text", options.text_file, "a text like what the model will see");
  require("--out", options.out, "the adapter's folder");
  if (options.cr && *options.cr <= 1) {
    throw InputError({.where = "--cr",
                      .what = "out of range",
                      .got = fmt::format("{}", *options.cr),
                      .expected = "more than 1"});
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
}

void calibrate(Options options) {
  check_words(options);
  if (options.ratio) options.kvzap.ratio = *options.ratio;
  if (options.cr) options.kvzap.ratio = 1 - 1 / *options.cr;
  options.kvzap.text = read_text(options.text_file);
  const auto start = std::chrono::steady_clock::now();
  KvzapResult result;
  {
    ProgressLine progress("calibrate");
    result = calibrate_kvzap(options.model, options.out, options.kvzap, progress.callback());
  }
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  print_result(options, result, spent.count());
}

void add_budget(CLI::App& app, Options& options) {
  constexpr double kMost = 1e6;
  add_value(
      app,
      "--ratio",
      "X",
      "Share of tokens that goes beyond the window (0.875)",
      [&options](const std::string& text) { options.ratio = parse_number("--ratio", text, 0, 1); });
  add_value(app, "--cr", "X", "The same as a factor (8)", [&options](const std::string& text) {
    options.cr = parse_number("--cr", text, 1, kMost);
  });
}

CommandBody define(CLI::App& app) {
  constexpr int64_t kMost = int64_t{1} << 24;
  auto options = std::make_shared<Options>();
  add_text(app, "METHOD", options->method, "", "kvzap: scores of what is read, and a threshold");
  add_text(app, "MODEL", options->model, "", "Hugging Face folder or .gguf file");
  add_input_file(app, "--text", options->text_file, "Text like what the model will see");
  add_text(app, "--out", options->out, "DIR", "Folder to write, for --adapter");
  add_budget(app, *options);
  add_integer(app,
              "--window",
              options->kvzap.window_tokens,
              0,
              kMost,
              "Tokens kept exactly, whatever their scores (128)");
  add_integer(app, "--n-sink", options->kvzap.sinks, 0, kMost, "First tokens, which stay (4)");
  add_integer(app, "--tokens", options->kvzap.tokens, 1, kMost, "Read at most N tokens (65536)");
  add_text(app, "--dtype", options->kvzap.dtype, "TYPE", "f32 or bf16 (default)");
  add_integer(app, "--threads", options->kvzap.threads, 1, 1024, "Default: all cores");
  add_flag(app, "--json", options->json, "Print one JSON object");
  return [options] { calibrate(*options); };
}

}  // namespace

Command calibrate_command() {
  return {.name = "calibrate",
          .summary = "Fit eviction to a model in minutes, without training",
          .examples =
              "  dms calibrate kvzap models/SmolLM2 --text prose.txt --out models/SmolLM2-kvzap\n"
              "  dms calibrate kvzap model.gguf --text chat.txt --out zap --cr 4 --window 256\n"
              "  dms generate models/SmolLM2 --adapter models/SmolLM2-kvzap -p \"Once upon\"\n",
          .define = define};
}

}  // namespace dms::cli
