// dms train: retrofits a model with DMS, or trains a language model, in dms-train.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/declare.h"
#include "cli/input.h"
#include "cli/trainer_program.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

struct Options {
  std::string config;
  std::vector<std::string> overrides;
  std::string resume;
  bool estimate = false;
  int64_t ranks = 0;  // 0: not given
};

constexpr int64_t kMostRanks = 1'000'000;

void train(const Options& options) {
  if (options.config.empty()) {
    throw InputError({.where = "CONFIG", .what = "missing", .expected = "a YAML file"});
  }
  std::vector<std::string> arguments{"train", seekable_file(options.config)};
  if (!options.resume.empty()) arguments.insert(arguments.end(), {"--resume", options.resume});
  if (options.estimate) arguments.push_back("--estimate");
  if (options.ranks > 0) {
    if (!options.estimate) throw InputError({.where = "--ranks", .what = "goes with --estimate"});
    arguments.insert(arguments.end(), {"--ranks", std::to_string(options.ranks)});
  }
  become_trainer(with_overrides(std::move(arguments), options.overrides));
}

CommandBody define(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_text(app, "CONFIG", options->config, "", "YAML file");
  add_text(app,
           "--resume",
           options->resume,
           "auto|DIR",
           "Go on from the latest checkpoint, or from this one");
  add_overrides(app, options->overrides);
  add_flag(app, "--estimate", options->estimate, "Print the memory and time it needs, and stop");
  add_integer(app,
              "--ranks",
              options->ranks,
              1,
              kMostRanks,
              "--estimate for so many processes (default 1)");
  return [options] { train(*options); };
}

}  // namespace

Command train_command() {
  return {.name = "train",
          .summary = "Train a model's eviction, or a language model",
          .examples =
              "  dms train configs/qwen3_8b.yaml --estimate\n"
              "  dms train configs/qwen3_8b.yaml --resume auto\n"
              "  dms train configs/llama-3.2-1b.yaml --set data.max_length=4096 \\\n"
              "      --set hf_trainer.max_steps=100\n"
              "  mpirun -n 2 dms train configs/llama-3.2-1b.yaml\n",
          .define = define};
}

}  // namespace dms::cli
