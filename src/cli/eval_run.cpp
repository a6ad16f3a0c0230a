#include "cli/eval_run.h"

#include <algorithm>
#include <csignal>
#include <exception>
#include <utility>

#include <fmt/format.h>

#include "cli/adapter_use.h"
#include "cli/file_state.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/text_table.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

constexpr std::chrono::milliseconds kPause{100};
// Another one where a record's numbers mean others, or files are told apart another way.
constexpr const char* kRecordFormat = "3";

ModelOptions held_so(ModelOptions options, const eval::Variant& variant) {
  if (!variant.weights.empty()) options.weights = variant.weights;
  if (!variant.adapter.empty()) options.adapter = variant.adapter;
  return options;
}

/// The model as a contender wants it; what is wrong with that is said of the contender.
ModelSource source_with(const EvalOptions& options,
                        const eval::Contender& contender,
                        const std::string& option) {
  try {
    return ModelSource(options.model, held_so(options.model_options, contender.variant));
  } catch (const InputError& error) {
    ErrorParts parts = error.parts();
    parts.where = fmt::format("{}: {}", option, contender.label);
    throw InputError(parts);
  }
}

std::string settings_text(const std::map<std::string, std::string>& settings) {
  std::string text;
  for (const auto& [name, value] : settings) text += fmt::format("{}={};", name, value);
  return text;
}

/// What is asked for goes, unless it was renewed before.
eval::Store store_of_others(const EvalOptions& options,
                            const eval::Identity& identity,
                            const std::vector<eval::PlannedRecord>& planned,
                            const eval::Identity& files) {
  std::vector<std::string> keys;
  for (const eval::PlannedRecord& record : planned) {
    if (!options.renewed.contains(record.policy)) keys.push_back(record.key);
  }
  try {
    eval::Store store(options.out, identity, false, files);
    store.forget(keys);
    return store;
  } catch (const InputError&) {
    if (!options.renewed.empty()) throw;
    return eval::Store(options.out, identity, true, files);  // nothing that is there is of use
  }
}

}  // namespace

EvalModels::EvalModels(const EvalOptions& options,
                       const std::vector<eval::Contender>& contenders,
                       const std::string& option)
    : options_(options) {
  sources_.emplace(eval::Variant{}, ModelSource(options.model, options.model_options));
  std::vector<CacheOptions> shared;  // policies that have what --adapter names, and no other
  for (const eval::Contender& contender : contenders) {
    if (contender.variant.adapter.empty()) shared.push_back(contender.cache);
    if (sources_.contains(contender.variant)) continue;
    sources_.emplace(contender.variant, source_with(options, contender, option));
  }
  note_idle_adapter(options.model_options.adapter, shared, source().info());
}

LLM& EvalModels::with(const eval::Variant& variant) {
  const auto loaded = models_.find(variant);
  if (loaded != models_.end()) return loaded->second;
  ModelSource source(options_.model, held_so(options_.model_options, variant));
  const bool is_first = models_.empty();
  LLM llm = load_model(std::move(source), options_.model, options_.json || !is_first);
  return models_.emplace(variant, std::move(llm)).first->second;
}

void EvalProgress::show(const eval::Step& step) {
  if (interrupt_.is_set()) throw Interrupted();
  const Clock::time_point now = Clock::now();
  if (now - last_shown_ < kPause) return;
  last_shown_ = now;
  line_.show(eval::step_text(step, std::chrono::duration<double>(now - start_).count()));
}

eval::Store open_store(const EvalOptions& options,
                       const eval::Identity& identity,
                       const std::vector<eval::PlannedRecord>& planned,
                       const eval::Identity& files) {
  if (options.out.empty()) return {};
  eval::Store store = options.force && options.keeps_others
                          ? store_of_others(options, identity, planned, files)
                          : eval::Store(options.out, identity, options.force, files);
  store.check(planned);
  if (store.found() > 0 && !options.is_recalled && stderr_is_terminal()) {
    note(fmt::format("{}: goes on behind {} that are measured",
                     options.out,
                     counted(static_cast<int64_t>(store.found()), "part")));
  }
  return store;
}

eval::Identity common_identity(const EvalOptions& options) {
  if (options.out.empty()) return {};  // a model's files may be many GiB
  const CacheOptions& cache = options.cache;
  const ModelOptions& model = options.model_options;
  return {{"action", options.action},
          {"model", content_of(options.model)},
          {"dtype", model.dtype},
          {"weights", model.device == "cpu" ? model.weights : model.device + " " + model.weights},
          {"adapter", content_of(model.adapter)},
          {"policy_args", settings_text(cache.policy_args)},
          {"window", cache.window_tokens ? std::to_string(*cache.window_tokens) : ""},
          {"kv_dtype", cache.kv_dtype},
          {"kv_exact_layers", std::to_string(cache.kv_exact_layers)},
          {"format", kRecordFormat},
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
  if (is_interrupted) throw Interrupted(has_rows);
}

void end_as_interrupted(const std::string& what) {
  flush_output();
  note(fmt::format("interrupted: {}", what));
  std::signal(SIGINT, SIG_DFL);
  std::raise(SIGINT);
}

void end_as_interrupted(const Interrupted& interrupted, const std::string& next) {
  if (!interrupted.has_rows()) return end_as_interrupted("nothing was measured");
  end_as_interrupted(
      fmt::format("what was measured until then is above{}{}", next.empty() ? "" : "; ", next));
}

std::string next_command(bool is_forced) {
  return is_forced ? "the command goes on without --force" : "the same command goes on";
}

}  // namespace dms::cli
