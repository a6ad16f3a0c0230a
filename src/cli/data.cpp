// dms data: prepares a run's training data and shows it, in dms-train.

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <optional>

#include "base/suggest.h"
#include "cli/command.h"
#include "cli/declare.h"
#include "cli/input.h"
#include "cli/trainer_program.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

const std::array<std::string, 2> kActions{"prepare", "inspect"};

struct Options {
  std::string action;
  std::string config;
  std::vector<std::string> overrides;
  int64_t samples = 0;  // 0: not given
  bool json = false;
};

void check_action(const std::string& action) {
  if (std::ranges::find(kActions, action) != kActions.end()) return;
  throw InputError({.where = "ACTION",
                    .what = action.empty() ? "missing" : "unknown",
                    .got = action,
                    .expected = "prepare or inspect",
                    .hint = did_you_mean(action, kActions)});
}

void data(const Options& options) {
  check_action(options.action);
  if (options.config.empty()) {
    throw InputError({.where = "CONFIG", .what = "missing", .expected = "a YAML file"});
  }
  std::vector<std::string> arguments{"data", options.action, seekable_file(options.config)};
  if (options.samples > 0) {
    if (options.action != "inspect") {
      throw InputError({.where = "--samples", .what = "only for inspect"});
    }
    arguments.insert(arguments.end(), {"--samples", std::to_string(options.samples)});
  }
  if (options.json) arguments.push_back("--json");
  become_trainer(with_overrides(std::move(arguments), options.overrides));
}

CommandBody define(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_text(app, "ACTION", options->action, "", "prepare or inspect");
  add_text(app, "CONFIG", options->config, "", "YAML file of the training run");
  add_overrides(app, options->overrides);
  add_integer(app,
              "--samples",
              options->samples,
              1,
              std::numeric_limits<int32_t>::max(),
              "inspect: samples to show (default 3)");
  add_flag(app, "--json", options->json, "Print one JSON object");
  return [options] { data(*options); };
}

}  // namespace

Command data_command() {
  return {.name = "data",
          .summary = "Prepare or inspect training data",
          .examples =
              "  dms data prepare configs/qwen3_8b.yaml\n"
              "  dms data inspect configs/qwen3_8b.yaml --samples 1\n"
              "  dms data prepare configs/qwen3_8b.yaml --set data.max_length=8192 --json\n",
          .define = define};
}

}  // namespace dms::cli
