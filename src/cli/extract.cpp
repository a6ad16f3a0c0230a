// dms extract: makes a model folder of a training checkpoint, in dms-train.

#include <memory>

#include "cli/command.h"
#include "cli/declare.h"
#include "cli/input.h"
#include "cli/trainer_program.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

struct Options {
  std::string config;
  std::string checkpoint;
  std::string out;
  std::vector<std::string> overrides;
  bool adapter_only = false;
};

void require(const std::string& option, const std::string& value, const char* expected) {
  if (!value.empty()) return;
  throw InputError({.where = option, .what = "missing", .expected = expected});
}

void extract(const Options& options) {
  require("--config", options.config, "the YAML file of the run");
  require("--checkpoint", options.checkpoint, "a folder checkpoint-N");
  require("--out", options.out, "a folder to write");
  std::vector<std::string> arguments{"extract",
                                     "--config",
                                     seekable_file(options.config),
                                     "--checkpoint",
                                     options.checkpoint,
                                     "--out",
                                     options.out};
  if (options.adapter_only) arguments.push_back("--adapter-only");
  become_trainer(with_overrides(std::move(arguments), options.overrides));
}

CommandBody define(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_input_file(app, "--config", options->config, "YAML file of the training run");
  add_text(app, "--checkpoint", options->checkpoint, "DIR", "checkpoint-N of its output_dir");
  add_text(app, "--out", options->out, "DIR", "Model folder to write");
  add_overrides(app, options->overrides);
  add_flag(
      app, "--adapter-only", options->adapter_only, "Write the eviction adapter without the model");
  return [options] { extract(*options); };
}

}  // namespace

Command extract_command() {
  return {.name = "extract",
          .summary = "Make a model folder from a training checkpoint",
          .examples =
              "  dms extract --config configs/qwen3_8b.yaml \\\n"
              "      --checkpoint outputs/qwen3_8b/checkpoint-238 --out models/Qwen3-8B-DMS-8x\n"
              "  dms extract --config configs/qwen3_8b.yaml \\\n"
              "      --checkpoint outputs/qwen3_8b/checkpoint-238 \\\n"
              "      --out adapters/qwen3-8b-8x --adapter-only\n",
          .define = define};
}

}  // namespace dms::cli
