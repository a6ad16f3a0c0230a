// dms quantize: a folder of quantised weights from a model, made once.

#include "dms/quantize.h"

#include <chrono>
#include <memory>

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/declare.h"
#include "cli/input.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/text_table.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

struct Options {
  std::string model;
  std::string out;
  std::string text_file;
  QuantizeOptions quantize;
  bool json = false;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void quantize(Options options) {
  if (!options.text_file.empty()) options.quantize.calibration_text = read_text(options.text_file);
  const auto start = std::chrono::steady_clock::now();
  QuantizeResult result;
  {
    ProgressLine progress("quantise");
    const auto show = [&](int64_t done, int64_t total) {
      progress.show(fmt::format("{}/{} weights", done, total));
    };
    result = quantize_model(options.model, options.out, options.quantize, show);
  }
  const double seconds = seconds_since(start);
  if (options.json) {
    print_json({{"out", options.out},
                {"weights", options.quantize.weights},
                {"weight_bytes", result.weight_bytes},
                {"calibration_tokens", result.calibration_tokens},
                {"seconds", seconds}});
    return;
  }
  print(fmt::format("{}: {} weights, {}, in {:.1f} s\n",
                    options.out,
                    options.quantize.weights,
                    format_bytes(result.weight_bytes),
                    seconds));
}

CommandBody define(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_argument(app, "MODEL", options->model, "Hugging Face folder to read");
  add_argument(app, "OUT", options->out, "Folder to write");
  add_text(app,
           "--weights",
           options->quantize.weights,
           "TYPE",
           "Type of the layers' weights: int4 or int8 (int4)");
  add_input_file(
      app, "--calibrate", options->text_file, "Text on which the outputs are to change least");
  add_integer(app,
              "--calibrate-tokens",
              options->quantize.calibration_tokens,
              512,
              int64_t{1} << 22,
              "Use at most N tokens of it (32768)");
  add_integer(app, "--threads", options->quantize.threads, 1, 1024, "Default: all cores");
  add_flag(app, "--json", options->json, "Print one JSON object");
  return [options] { quantize(*options); };
}

}  // namespace

Command quantize_command() {
  return {.name = "quantize",
          .summary = "Make a folder of int4 or int8 weights from a model",
          .examples =
              "  dms quantize models/demo /tmp/demo-int8 --weights int8\n"
              "  dms quantize models/Qwen3-8B models/Qwen3-8B-int4 --calibrate wiki.txt\n"
              "  dms chat models/Qwen3-8B-int4\n",
          .define = define};
}

}  // namespace dms::cli
