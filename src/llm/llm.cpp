// The public API: opens a model, resolves options, and hands out sessions.

#include "dms/llm.h"

#include <utility>

#include "base/check.h"
#include "base/file_status.h"
#include "base/input_file.h"
#include "base/threads.h"
#include "engine/engine.h"
#include "gguf/file.h"
#include "llm/core.h"
#include "llm/described_model.h"
#include "llm/device.h"
#include "llm/document.h"
#include "llm/model_info.h"
#include "llm/model_source.h"
#include "llm/request_run.h"
#include "llm/session_file.h"
#include "model/spec/adapter.h"
#include "model/spec/load.h"

namespace dms {

struct LLM::State {
  std::shared_ptr<Core> core;
  ModelInfo info;
  std::filesystem::path folder;  // or GGUF file; empty: random weights
};

void Core::enter() const { use_threads(options.threads); }

namespace {

/// Cached beginnings of prompts give way to what a file holds.
void make_room(const Core& core, const llm::SessionHead& head) {
  const auto plan = core.model->plan(head.options);
  engine::Expectation expected{.plan = plan.get(), .to_tokens = std::ssize(head.ids)};
  if (const int64_t bytes = expected.bytes(); bytes > 0) {
    expected.ratio = static_cast<double>(head.held_bytes) / static_cast<double>(bytes);
  }
  core.engine->make_room(expected);
}

}  // namespace

LLM::LLM(std::unique_ptr<State> state) : state_(std::move(state)) {}
LLM::LLM(LLM&&) noexcept = default;
LLM::~LLM() = default;

LLM::LLM(ModelSource source) : state_(std::make_unique<State>()) {
  ModelSource::State& from = *source.state_;
  auto core = std::make_shared<Core>();
  core->options = from.options;
  core->enter();
  core->spec = from.spec;
  core->tokenizer = std::move(from.tokenizer);
  core->guides = std::move(from.guides);
  double draft_cost = 0;
  if (from.draft) {
    ModelSource::State& draft = *from.draft->state_;
    draft_cost =
        static_cast<double>(draft.info.parameters) / static_cast<double>(from.info.parameters);
    draft.options.kv_memory_bytes =
        llm::draft_memory(core->options.kv_memory_bytes, from.info, draft.info);
    core->options.kv_memory_bytes -= draft.options.kv_memory_bytes;
    core->draft_model = llm::find_device(draft.options.device)
                            .open(std::move(draft.spec), std::move(draft.weights), draft.options);
  }
  core->model = llm::find_device(core->options.device)
                    .open(std::move(from.spec), std::move(from.weights), core->options);
  core->engine = std::make_unique<engine::Engine>(
      *core->model,
      engine::Vocabulary{.tokenizer = core->tokenizer ? core->tokenizer->impl_.get() : nullptr,
                         .eos_ids = core->spec.eos_ids,
                         .guides = core->guides.get()},
      engine::EngineOptions{.chunk_tokens = core->options.chunk_tokens,
                            .max_step_tokens = core->options.max_step_tokens,
                            .max_sequences = core->options.max_sequences,
                            .prefix_cache = core->options.prefix_cache,
                            .swap_bytes = core->options.swap_bytes,
                            .swap_folder = core->options.swap_folder,
                            .draft_model = core->draft_model.get(),
                            .draft_cost = draft_cost});
  core->fingerprint = core->model->fingerprint();
  *state_ = {.core = std::move(core), .info = std::move(from.info), .folder = from.folder};
}

LLM::LLM(const std::filesystem::path& folder, const ModelOptions& options)
    : LLM(ModelSource(folder, options)) {}

LLM LLM::with_random_weights(const std::filesystem::path& config_file,
                             uint64_t seed,
                             const ModelOptions& options) {
  return LLM(ModelSource::with_random_weights(config_file, seed, options));
}

const ModelInfo& LLM::info() const { return state_->info; }
bool LLM::has_tokenizer() const { return state_->core->tokenizer.has_value(); }

const Tokenizer& LLM::tokenizer() const {
  return llm::require_tokenizer(state_->core->tokenizer, state_->folder);
}

std::vector<int32_t> LLM::encode(std::string_view text,
                                 bool add_special_tokens,
                                 int64_t max_tokens) const {
  return tokenizer().encode(text, add_special_tokens, max_tokens);
}

std::string LLM::decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  return tokenizer().decode(ids, skip_special_tokens);
}

CachePlan LLM::check(const CacheOptions& options) const {
  const Core& core = *state_->core;
  const auto plan = llm::find_device(core.options.device).plan(core.spec, core.options, options);
  return {.max_tokens = plan->max_tokens(), .window_tokens = plan->window_tokens()};
}

std::shared_ptr<const CompiledStructure> LLM::compile(const Structure& structure,
                                                      const std::stop_token& given_up) const {
  return state_->core->guides->compile(structure, given_up);
}

std::shared_ptr<const CompiledStructure> LLM::find_compiled(const Structure& structure) const {
  return state_->core->guides->find(structure);
}

RequestId LLM::submit(Request request) {
  return state_->core->engine->submit(llm::submission_of(state_->core, std::move(request)));
}

void LLM::post(std::function<void()> call) { state_->core->engine->post(std::move(call)); }

Document LLM::make_document(std::span<const int32_t> prompt,
                            const CacheOptions& cache,
                            const Progress& progress) {
  state_->core->enter();
  Request request{.prompt = {prompt.begin(), prompt.end()},
                  .sampling = {.max_new_tokens = 0},
                  .cache = cache,
                  .keeps_document = true};
  const Generation result =
      RequestRun(
          *state_->core->engine, llm::submission_of(state_->core, std::move(request)), {}, progress)
          .finish();
  if (!result.document) throw RunError({.what = result.error});
  return *result.document;
}

DocumentFile LLM::open_document(const std::filesystem::path& file) const {
  FileImage image(file);
  llm::SessionBytes session =
      llm::parse_session(image.bytes(), file.string(), state_->core->fingerprint);
  const CacheOptions& options = session.head.options;
  if (options.policy == "forced" || !options.decisions_file.empty()) {
    throw InputError({.where = file.string(), .what = "needs a file of decisions besides"});
  }
  return DocumentFile(std::make_shared<const DocumentFile::State>(
      DocumentFile::State{.image = std::move(image), .session = std::move(session)}));
}

void LLM::check_document(const DocumentFile& file) const { llm::check_cache(file.state_->session); }

Document LLM::load_document(const DocumentFile& file) {
  const DocumentFile::State& state = *file.state_;
  if (state.is_taken) {
    throw InputError({.where = state.session.where,
                      .what = "has been made a document already",
                      .hint = "open the file again, or share the document"});
  }
  make_room(*state_->core, state.session.head);
  auto sequence = llm::read_cache(state.session, *state_->core->model, state.image.mapping());
  state.is_taken = true;
  return llm::make_document(state_->core, state.session.head.options, std::move(sequence));
}

void LLM::cancel(RequestId id) { state_->core->engine->cancel(id); }

bool LLM::step() {
  state_->core->enter();
  return state_->core->engine->step();
}

void LLM::wait() { state_->core->engine->wait(); }
void LLM::stop_waiting() { state_->core->engine->stop_waiting(); }
EngineStats LLM::stats() const { return state_->core->engine->stats(); }

Session LLM::new_session(const CacheOptions& options) {
  engine::Model& model = *state_->core->model;
  const std::shared_ptr<const engine::SequencePlan> plan = model.plan(options);
  auto sequence = std::make_shared<engine::Sequence>(model.new_sequence(plan), plan->max_tokens());
  return Session(std::make_unique<Session::State>(Session::State{
      .core = state_->core, .options = options, .sequence = std::move(sequence), .logits = {}}));
}

Session LLM::new_session(const Document& document) {
  const Document::State& state = *document.state();
  if (state.fingerprint != state_->core->fingerprint) {
    throw InputError({.field = "document", .what = "is of another model"});
  }
  return Session(std::make_unique<Session::State>(Session::State{.core = state_->core,
                                                                 .options = state.options,
                                                                 .sequence = state.sequence->fork(),
                                                                 .logits = {}}));
}

Session LLM::load_session(const std::filesystem::path& file) {
  const InputFile input(file);
  const std::string data = input.read_text(0, input.bytes());
  llm::SessionBytes saved = llm::parse_session(data, file.string(), state_->core->fingerprint);
  llm::check_cache(saved);
  make_room(*state_->core, saved.head);
  auto sequence = llm::read_cache(saved, *state_->core->model);
  return Session(
      std::make_unique<Session::State>(Session::State{.core = state_->core,
                                                      .options = std::move(saved.head.options),
                                                      .sequence = std::move(sequence),
                                                      .logits = {}}));
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

ModelInfo inspect_model(const std::filesystem::path& path,
                        const std::filesystem::path& adapter,
                        MetadataScope scope) {
  if (is_file(path) && !gguf::is_gguf(path)) {
    ModelSpec spec = load_spec_from_config(path);
    if (!adapter.empty()) apply_adapter(adapter, spec);
    return llm::make_model_info(spec, {});
  }
  llm::DescribedModel model = llm::describe_model(path, scope);
  try {
    model.load_tokenizer();
  } catch (const InputError& error) {  // it does not hide what the model is
    model.spec.notes.emplace_back(error.what());
  }
  if (!adapter.empty()) apply_adapter(adapter, model.spec);
  return model.info();
}

}  // namespace dms
