#include "cli/eval_run.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "base/random.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/text_table.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

constexpr std::chrono::milliseconds kPause{100};
constexpr const char* kRecordFormat = "2";  // another one where a record's numbers mean others

ModelOptions with_weights(ModelOptions options, const std::string& weights) {
  if (!weights.empty()) options.weights = weights;
  return options;
}

/// The model with a contender's own weights; what is wrong with them is said of the contender.
ModelSource source_with(const EvalOptions& options, const eval::Contender& contender) {
  try {
    return ModelSource(options.model, with_weights(options.model_options, contender.weights));
  } catch (const InputError& error) {
    ErrorParts parts = error.parts();
    parts.where = fmt::format("--policies: {}", contender.label);
    throw InputError(parts);
  }
}

std::string read_bytes(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

const std::array<std::string, 5> kModelFiles{".json", ".safetensors", ".gguf", ".jinja", ".model"};

/// Names, sizes and times of a model's files, as one number: what its weights are, without reading
/// them.
std::string state_of_files(const std::filesystem::path& model) {
  std::vector<std::string> states;
  const auto add = [&states](const std::filesystem::path& file) {
    std::error_code missing;
    const auto time = std::filesystem::last_write_time(file, missing).time_since_epoch().count();
    const auto size = std::filesystem::file_size(file, missing);
    states.push_back(fmt::format("{} {} {}", file.filename().string(), size, time));
  };
  std::error_code none;
  if (std::filesystem::is_directory(model, none)) {
    for (const auto& entry : std::filesystem::directory_iterator(model, none)) {
      const bool is_part =
          std::ranges::find(kModelFiles, entry.path().extension().string()) != kModelFiles.end();
      if (is_part && entry.is_regular_file(none)) add(entry.path());
    }
  } else if (!model.empty()) {
    add(model);
  }
  std::ranges::sort(states);
  return states.empty()
             ? ""
             : fmt::format("{:016x}", stable_hash(fmt::format("{}", fmt::join(states, "\n"))));
}

std::string settings_text(const std::map<std::string, std::string>& settings) {
  std::string text;
  for (const auto& [name, value] : settings) text += fmt::format("{}={};", name, value);
  return text;
}

}  // namespace

EvalModels::EvalModels(const EvalOptions& options, const std::vector<eval::Contender>& contenders)
    : options_(options) {
  sources_.emplace("", ModelSource(options.model, options.model_options));
  for (const eval::Contender& contender : contenders) {
    if (sources_.contains(contender.weights)) continue;
    sources_.emplace(contender.weights, source_with(options, contender));
  }
}

LLM& EvalModels::with(const std::string& weights) {
  const auto loaded = models_.find(weights);
  if (loaded != models_.end()) return loaded->second;
  ModelSource source(options_.model, with_weights(options_.model_options, weights));
  const bool is_first = models_.empty();
  LLM llm = load_model(std::move(source), options_.model, options_.json || !is_first);
  return models_.emplace(weights, std::move(llm)).first->second;
}

void EvalProgress::show(const eval::Step& step) {
  if (interrupt_.is_set()) throw Interrupted();
  const Clock::time_point now = Clock::now();
  if (now - last_shown_ < kPause) return;
  last_shown_ = now;
  line_.show(eval::step_text(step, std::chrono::duration<double>(now - start_).count()));
}

eval::Store open_store(const EvalOptions& options, const eval::Identity& identity) {
  if (options.out.empty()) return {};
  eval::Store store(options.out, identity, options.force);
  if (store.found() > 0 && stderr_is_terminal()) {
    note(fmt::format("{}: goes on behind {} that are measured",
                     options.out,
                     counted(static_cast<int64_t>(store.found()), "part")));
  }
  return store;
}

std::string checksum(const std::filesystem::path& file) {
  return file.empty() ? "" : fmt::format("{:016x}", stable_hash(read_bytes(file)));
}

eval::Identity common_identity(const EvalOptions& options) {
  const CacheOptions& cache = options.cache;
  const ModelOptions& model = options.model_options;
  return {{"action", options.action},
          {"model", options.model},
          {"dtype", model.dtype},
          {"weights", model.weights},
          {"adapter", model.adapter.string()},
          {"policy_args", settings_text(cache.policy_args)},
          {"window", cache.window_tokens ? std::to_string(*cache.window_tokens) : ""},
          {"kv_dtype", cache.kv_dtype},
          {"kv_exact_layers", std::to_string(cache.kv_exact_layers)},
          {"format", kRecordFormat},
          {"model_files", state_of_files(options.model)},
          {"adapter_files", state_of_files(model.adapter)},
          {"decisions", checksum(cache.decisions_file)},
          {"chunk", std::to_string(model.chunk_tokens)},
          {"threads", std::to_string(model.threads)},
          {"preallocate", std::to_string(cache.preallocate_tokens)}};
}

void measure_and_report(const std::function<void()>& measure, const std::function<bool()>& report) {
  std::exception_ptr failure;
  bool is_interrupted = false;
  try {
    measure();
  } catch (const Interrupted&) {
    is_interrupted = true;
  } catch (...) {
    failure = std::current_exception();
  }
  const bool has_rows = report();
  if (failure) std::rethrow_exception(failure);
  if (!is_interrupted) return;
  flush_output();
  note(has_rows ? "interrupted: what was measured until then is above"
                : "interrupted: nothing was measured");
  std::signal(SIGINT, SIG_DFL);
  std::raise(SIGINT);
}

}  // namespace dms::cli
