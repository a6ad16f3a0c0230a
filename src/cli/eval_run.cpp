#include "cli/eval_run.h"

#include <csignal>
#include <exception>
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
          {"kv_exact_layers", std::to_string(cache.kv_exact_layers)}};
}

void measure_and_report(const std::function<void()>& measure, const std::function<void()>& report) {
  std::exception_ptr failure;
  bool is_interrupted = false;
  try {
    measure();
  } catch (const Interrupted&) {
    is_interrupted = true;
  } catch (const Error&) {
    failure = std::current_exception();
  }
  report();
  if (failure) std::rethrow_exception(failure);
  if (!is_interrupted) return;
  flush_output();
  note("interrupted: what was measured until then is above");
  std::signal(SIGINT, SIG_DFL);
  std::raise(SIGINT);
}

}  // namespace dms::cli
