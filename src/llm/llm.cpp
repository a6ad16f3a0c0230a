// The public API: opens a model, resolves options, and hands out sessions.

#include "dms/llm.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/file_status.h"
#include "base/threads.h"
#include "cpu/cpu_model.h"
#include "engine/engine.h"
#include "kernels/isa.h"
#include "llm/core.h"
#include "llm/model_info.h"
#include "llm/request_run.h"
#include "model/spec/adapter.h"
#include "model/spec/load.h"
#include "text/tokenizer.h"

namespace dms {
namespace {

constexpr std::string_view kTokenizerFile = "tokenizer.json";

/// Packs the weights of `spec`, and of the adapter that the options name, which `spec` then has.
std::shared_ptr<Core> make_core(ModelSpec spec,
                                std::unique_ptr<WeightSource> source,
                                std::optional<text::Tokenizer> tokenizer,
                                const ModelOptions& options) {
  // A wrong DMS_ISA is found here: kernels first meet it inside parallel regions, which an
  // exception must not leave.
  kernels::active_isa();
  auto core = std::make_shared<Core>();
  core->options = cpu::resolve(options);
  use_threads(core->options.threads);
  if (!options.adapter.empty()) {
    apply_adapter(options.adapter, spec);
    source = layer_weights(std::move(source), open_adapter(options.adapter, spec));
  }
  model::DecoderWeights weights = model::load_weights(spec, *source, core->options.weight_type);
  core->spec = spec;
  core->tokenizer = std::move(tokenizer);
  core->model = std::make_unique<cpu::CpuModel>(std::move(spec), std::move(weights), core->options);
  core->engine = std::make_unique<engine::Engine>(
      *core->model,
      engine::Vocabulary{.tokenizer = core->tokenizer ? &*core->tokenizer : nullptr,
                         .eos_ids = core->spec.eos_ids},
      engine::EngineOptions{.chunk_tokens = core->options.chunk_tokens,
                            .max_step_tokens = core->options.max_step_tokens});
  return core;
}

/// Many a fine-tune names the token that ends its turns in the tokenizer's files only.
void add_end_token(std::optional<int32_t> id, ModelSpec& spec) {
  if (!id || *id >= spec.vocab || std::ranges::find(spec.eos_ids, *id) != spec.eos_ids.end()) {
    return;
  }
  spec.eos_ids.push_back(*id);
}

}  // namespace

struct LLM::State {
  std::shared_ptr<Core> core;
  ModelInfo info;
  std::filesystem::path folder;  // empty: random weights
};

void Core::enter() const { use_threads(options.threads); }

LLM::LLM(std::unique_ptr<State> state) : state_(std::move(state)) {}
LLM::LLM(LLM&&) noexcept = default;
LLM::~LLM() = default;

LLM::LLM(const std::filesystem::path& folder, const ModelOptions& options)
    : state_(std::make_unique<State>()) {
  ModelSpec spec = load_spec(folder, MetadataScope::local);
  state_->folder = folder;
  std::optional<text::Tokenizer> tokenizer;
  if (path_exists(folder / kTokenizerFile)) {
    tokenizer.emplace(text::Tokenizer::load_folder(folder));
    add_end_token(tokenizer->eos_id(), spec);
  }
  std::unique_ptr<WeightSource> source = open_checkpoint(folder, spec);
  state_->core = make_core(std::move(spec), std::move(source), std::move(tokenizer), options);
  state_->info = llm::make_model_info(state_->core->spec);
}

LLM LLM::with_random_weights(const std::filesystem::path& config_file,
                             uint64_t seed,
                             const ModelOptions& options) {
  auto state = std::make_unique<State>();
  ModelSpec spec = load_spec_from_config(config_file);
  std::unique_ptr<WeightSource> source = random_weights(spec, seed);
  state->core = make_core(std::move(spec), std::move(source), std::nullopt, options);
  state->info = llm::make_model_info(state->core->spec);
  return LLM(std::move(state));
}

const ModelInfo& LLM::info() const { return state_->info; }
bool LLM::has_tokenizer() const { return state_->core->tokenizer.has_value(); }

namespace {

const text::Tokenizer& require_tokenizer(const Core& core, const std::filesystem::path& folder) {
  if (!core.tokenizer) {
    throw InputError({.where = (folder / kTokenizerFile).string(),
                      .what = "missing",
                      .hint = "give token ids instead of text (--ids)"});
  }
  return *core.tokenizer;
}

}  // namespace

std::vector<int32_t> LLM::encode(std::string_view text, bool add_special_tokens) const {
  return require_tokenizer(*state_->core, state_->folder).encode(text, add_special_tokens);
}

std::string LLM::decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  return require_tokenizer(*state_->core, state_->folder).decode(ids, skip_special_tokens);
}

RequestId LLM::submit(Request request) {
  return state_->core->engine->submit({.request = std::move(request)});
}

void LLM::cancel(RequestId id) { state_->core->engine->cancel(id); }

bool LLM::step() {
  state_->core->enter();
  return state_->core->engine->step();
}

void LLM::wait() { state_->core->engine->wait(); }
void LLM::stop_waiting() { state_->core->engine->stop_waiting(); }

Session LLM::new_session(const CacheOptions& options) {
  engine::Model& model = *state_->core->model;
  const std::shared_ptr<const engine::SequencePlan> plan = model.plan(options);
  auto sequence = std::make_shared<engine::Sequence>(model.new_sequence(plan), plan->max_tokens());
  return Session(std::make_unique<Session::State>(
      Session::State{.core = state_->core, .sequence = std::move(sequence), .logits = {}}));
}

std::vector<Generation> LLM::generate(std::span<Session> sessions,
                                      std::span<const std::vector<int32_t>> prompts,
                                      const SamplingParams& params) {
  ensure(sessions.size() == prompts.size(), "as many prompts as sessions");
  const Core& core = *state_->core;
  core.enter();
  std::vector<std::unique_ptr<RequestRun>> runs;
  for (size_t i = 0; i < sessions.size(); ++i) {
    runs.push_back(std::make_unique<RequestRun>(
        *core.engine,
        engine::Submission{.request = {.prompt = prompts[i], .sampling = params},
                           .sequence = sessions[i].state_->sequence},
        TextSink(),
        Progress()));
  }
  std::vector<Generation> results;
  for (const auto& run : runs) results.push_back(run->finish());
  return results;
}

KvStats LLM::kv(std::span<const Session> sessions) const {
  std::vector<const engine::SequenceState*> states;
  for (const Session& session : sessions) states.push_back(&session.state_->sequence->state());
  return state_->core->model->usage(states);
}

ModelInfo inspect_model(const std::filesystem::path& path, const std::filesystem::path& adapter) {
  ModelSpec spec =
      is_file(path) ? load_spec_from_config(path) : load_spec(path, MetadataScope::local);
  if (!adapter.empty()) apply_adapter(adapter, spec);
  return llm::make_model_info(spec);
}

}  // namespace dms
