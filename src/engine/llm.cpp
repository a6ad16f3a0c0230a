// The public API: opens a model, resolves options, and hands out sessions.

#include "dms/llm.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/file_status.h"
#include "base/threads.h"
#include "engine/engine.h"
#include "engine/model_iface.h"
#include "engine/model_info.h"
#include "engine/options.h"
#include "engine/sequence.h"
#include "kernels/isa.h"
#include "model/spec/adapter.h"
#include "model/spec/load.h"
#include "policy/policy.h"
#include "text/tokenizer.h"

namespace dms {
namespace {

constexpr std::string_view kTokenizerFile = "tokenizer.json";

/// The part of an LLM that its sessions need for as long as they live.
struct Core {
  ModelSpec spec;
  engine::ResolvedModelOptions options;
  std::unique_ptr<engine::Model> model;
  std::optional<text::Tokenizer> tokenizer;

  const text::Tokenizer* tokenizer_or_null() const { return tokenizer ? &*tokenizer : nullptr; }
};

/// Packs the weights of `spec`, and of the adapter that the options name, which `spec` then has.
std::shared_ptr<Core> make_core(ModelSpec spec,
                                std::unique_ptr<WeightSource> source,
                                const ModelOptions& options) {
  // A wrong DMS_ISA is found here: kernels first meet it inside parallel regions, which an
  // exception must not leave.
  kernels::active_isa();
  auto core = std::make_shared<Core>();
  core->options = engine::resolve(options);
  use_threads(core->options.threads);
  if (!options.adapter.empty()) {
    apply_adapter(options.adapter, spec);
    source = layer_weights(std::move(source), open_adapter(options.adapter, spec));
  }
  model::DecoderWeights weights = model::load_weights(spec, *source, core->options.weight_type);
  core->spec = spec;
  core->model = std::make_unique<engine::DecoderModel>(
      model::Decoder(std::move(spec), std::move(weights), core->options.compute));
  return core;
}

}  // namespace

struct Session::State {
  std::shared_ptr<Core> core;
  std::unique_ptr<engine::Sequence> sequence;
};

struct LLM::State {
  std::shared_ptr<Core> core;
  ModelInfo info;
  std::filesystem::path folder;  // empty: random weights
  // All sequences share pools and limit; these go when the last sequence does.
  std::weak_ptr<cache::CachePools> pools;
};

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

int64_t Session::tokens() const { return state_->sequence->tokens(); }

std::span<const float> Session::append(std::span<const int32_t> ids, const Progress& progress) {
  use_threads(state_->core->options.threads);
  return state_->sequence->append(ids, {}, progress);
}

void Session::append_scored(
    std::span<const int32_t> ids,
    const std::function<void(int64_t token, std::span<const float> row)>& sink,
    const Progress& progress) {
  use_threads(state_->core->options.threads);
  state_->sequence->append(ids, sink, progress);
}

void Session::truncate(int64_t tokens) {
  use_threads(state_->core->options.threads);
  state_->sequence->truncate(tokens);
}

Session Session::fork() const {
  auto copy = std::make_unique<State>();
  copy->core = state_->core;
  copy->sequence = state_->sequence->fork();
  return Session(std::move(copy));
}

Generation Session::generate(std::span<const int32_t> prompt,
                             const SamplingParams& params,
                             const TextSink& on_text,
                             const Progress& progress) {
  const Core& core = *state_->core;
  use_threads(core.options.threads);
  engine::Engine engine(*core.model, core.tokenizer_or_null(), core.spec.eos_ids);
  engine.add({.sequence = state_->sequence.get(),
              .prompt = {prompt.begin(), prompt.end()},
              .params = params,
              .on_text = on_text,
              .on_prompt = progress});
  while (!engine.is_done()) engine.step();
  return std::move(engine.take_results().front());
}

KvStats Session::kv() const { return engine::kv_stats(state_->sequence->cache()); }
std::vector<uint8_t> Session::decisions() const { return state_->sequence->cache().decisions(); }
const Timings& Session::timings() const { return state_->sequence->timings(); }

LLM::LLM(std::unique_ptr<State> state) : state_(std::move(state)) {}
LLM::LLM(LLM&&) noexcept = default;
LLM::~LLM() = default;

LLM::LLM(const std::filesystem::path& folder, const ModelOptions& options)
    : state_(std::make_unique<State>()) {
  ModelSpec spec = load_spec(folder, MetadataScope::local);
  state_->folder = folder;
  std::optional<text::Tokenizer> tokenizer;
  if (path_exists(folder / kTokenizerFile)) {
    tokenizer.emplace(text::Tokenizer::load(folder / kTokenizerFile));
  }
  std::unique_ptr<WeightSource> source = open_checkpoint(folder, spec);
  state_->core = make_core(std::move(spec), std::move(source), options);
  state_->core->tokenizer = std::move(tokenizer);
  state_->info = engine::make_model_info(state_->core->spec);
}

LLM LLM::with_random_weights(const std::filesystem::path& config_file,
                             uint64_t seed,
                             const ModelOptions& options) {
  auto state = std::make_unique<State>();
  ModelSpec spec = load_spec_from_config(config_file);
  std::unique_ptr<WeightSource> source = random_weights(spec, seed);
  state->core = make_core(std::move(spec), std::move(source), options);
  state->info = engine::make_model_info(state->core->spec);
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

Session LLM::new_session(const CacheOptions& options) {
  const Core& core = *state_->core;
  const cache::CacheShape shape = engine::cache_shape(core.spec, core.options, options);
  policy::PolicyPtr source = engine::make_fate_source(core.spec, options);
  std::shared_ptr<cache::CachePools> pools = state_->pools.lock();
  if (pools) {
    engine::check_memory_limit(options, pools->budget().limit_bytes);
  } else {
    pools = std::make_shared<cache::CachePools>(shape.head_dim, options.memory_limit_bytes);
    state_->pools = pools;
  }
  auto cache = std::make_unique<cache::SequenceCache>(shape, std::move(pools), std::move(source));
  if (options.preallocate_tokens > 0) cache->preallocate(options.preallocate_tokens);
  auto session = std::make_unique<Session::State>();
  session->core = state_->core;
  session->sequence =
      std::make_unique<engine::Sequence>(*core.model, std::move(cache), core.options.chunk_tokens);
  return Session(std::move(session));
}

std::vector<Generation> LLM::generate(std::span<Session> sessions,
                                      std::span<const std::vector<int32_t>> prompts,
                                      const SamplingParams& params) {
  ensure(sessions.size() == prompts.size(), "as many prompts as sessions");
  const Core& core = *state_->core;
  use_threads(core.options.threads);
  engine::Engine engine(*core.model, core.tokenizer_or_null(), core.spec.eos_ids);
  for (size_t i = 0; i < sessions.size(); ++i) {
    engine.add(
        {.sequence = sessions[i].state_->sequence.get(), .prompt = prompts[i], .params = params});
  }
  while (!engine.is_done()) engine.step();
  return engine.take_results();
}

KvStats LLM::kv(std::span<const Session> sessions) const {
  std::vector<const cache::SequenceCache*> caches;
  for (const Session& session : sessions) caches.push_back(&session.state_->sequence->cache());
  return engine::kv_stats(caches);
}

ModelInfo inspect_model(const std::filesystem::path& path, const std::filesystem::path& adapter) {
  ModelSpec spec =
      is_file(path) ? load_spec_from_config(path) : load_spec(path, MetadataScope::local);
  if (!adapter.empty()) apply_adapter(adapter, spec);
  return engine::make_model_info(spec);
}

}  // namespace dms
