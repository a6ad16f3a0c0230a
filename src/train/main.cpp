// The trainer's program. `dms train`, `dms data` and `dms extract` start it with the same
// arguments; run by itself it takes them too.

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <unistd.h>

#include "base/bounds.h"
#include "base/terminal_text.h"
#include "dms/error.h"
#include "train/agreement.h"
#include "train/checkpoint/checkpoints.h"
#include "train/config/train_config.h"
#include "train/data/command.h"
#include "train/data/progress_line.h"
#include "train/estimate.h"
#include "train/extract.h"
#include "train/run.h"

namespace dms::train {
namespace {

struct Arguments {
  std::string config;
  std::vector<std::string> overrides;
  std::string resume;
  std::string checkpoint;
  std::string out;
  bool json = false;
  bool estimate = false;
  bool adapter_only = false;
  int64_t samples = 3;
  int64_t ranks = 1;
};

void add_config(CLI::App& app, Arguments& arguments) {
  app.add_option("config", arguments.config, "YAML file")->required();
  app.add_option("--set", arguments.overrides, "section.key=value")->take_all();
}

void extract_command(const Arguments& arguments) {
  const TrainConfig config = load_train_config(arguments.config, arguments.overrides);
  const CheckpointFolder checkpoint = open_checkpoint_folder(arguments.checkpoint);
  const ExtractWhat what = arguments.adapter_only ? ExtractWhat::adapter : ExtractWhat::student;
  for (const std::string& note : extract(config, checkpoint, arguments.out, what)) {
    std::cerr << "note: " << note << "\n";
  }
  std::cout << "Wrote " << arguments.out << "\n";
}

int train_command(const Arguments& arguments) {
  if (arguments.ranks < 1) {
    throw InputError({.where = "--ranks",
                      .what = "bad value",
                      .got = std::to_string(arguments.ranks),
                      .expected = integer_in(1, INT64_MAX)});
  }
  TrainConfig config = load_train_config(arguments.config, arguments.overrides);
  if (!arguments.resume.empty()) config.trainer.resume = arguments.resume;
  if (arguments.estimate) {
    std::cout << describe(estimate(config, arguments.ranks), config);
    return 0;
  }
  return run_training(config);
}

int dispatch(int argc, char** argv) {
  CLI::App app("Trains eviction and makes students; see `dms train --help`", "dms-train");
  app.require_subcommand(1);
  Arguments arguments;
  CLI::App* train = app.add_subcommand("train", "Train from a YAML configuration");
  add_config(*train, arguments);
  train->add_option("--resume", arguments.resume, "auto, or a checkpoint folder");
  train->add_flag("--estimate", arguments.estimate, "Print what the run will need, and stop");
  train->add_option("--ranks", arguments.ranks, "Processes to estimate for");
  CLI::App* data = app.add_subcommand("data", "Prepare or inspect training data");
  data->require_subcommand(1);
  CLI::App* prepare = data->add_subcommand("prepare", "Prepare the data and report on it");
  CLI::App* inspect = data->add_subcommand("inspect", "Show the report and some samples");
  for (CLI::App* command : {prepare, inspect}) {
    add_config(*command, arguments);
    command->add_flag("--json", arguments.json, "One JSON object on stdout");
  }
  inspect->add_option("--samples", arguments.samples, "Samples to show");
  CLI::App* extraction = app.add_subcommand("extract", "Make a model folder from a checkpoint");
  extraction->add_option("--config", arguments.config, "YAML file")->required();
  extraction->add_option("--set", arguments.overrides, "section.key=value")->take_all();
  extraction->add_option("--checkpoint", arguments.checkpoint, "Folder")->required();
  extraction->add_option("--out", arguments.out, "Folder to write")->required();
  extraction->add_flag("--adapter-only", arguments.adapter_only, "Only the eviction adapter");
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    throw InputError({.where = "dms-train", .what = error.what()});
  }
  if (*train) return train_command(arguments);
  if (*extraction) {
    extract_command(arguments);
    return 0;
  }
  const TrainConfig config = load_train_config(arguments.config, arguments.overrides);
  const std::string report =
      *prepare ? run_prepare(config, arguments.json, terminal_progress())
               : run_inspect(config, arguments.samples, arguments.json, terminal_progress());
  std::cout << text_for(STDOUT_FILENO, report);
  return 0;
}

/// OpenMP's idle threads spin by default and take the cores that others, or LibTorch's own threads,
/// need: on a busy machine a step then takes twenty times as long. The runtime reads this variable
/// when it is loaded, so the program starts itself again with it.
void let_idle_threads_sleep(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  setenv("OMP_WAIT_POLICY", "passive", 0);
  execv("/proc/self/exe", argv);  // when that fails, training is only slower
}

int report(const std::exception_ptr& failure, int status) {
  std::fprintf(stderr, "dms: error: %s\n", describe(failure).c_str());
  return status;
}

}  // namespace
}  // namespace dms::train

int main(int argc, char** argv) {
  using namespace dms;
  train::let_idle_threads_sleep(argv);
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is then a failed write
  try {
    return train::dispatch(argc, argv);
  } catch (const InputError&) {
    return train::report(std::current_exception(), 2);
  } catch (...) {
    return train::report(std::current_exception(), 1);
  }
}
