#include "llm/model_source.h"

#include <algorithm>
#include <string>
#include <utility>

#include "dms/error.h"
#include "engine/prompt_check.h"
#include "engine/sampling_check.h"
#include "gguf/file.h"
#include "grammar/guides.h"
#include "kernels/isa.h"
#include "llm/described_model.h"
#include "llm/device.h"
#include "llm/model_info.h"
#include "llm/replay_prompt.h"
#include "model/spec/adapter.h"
#include "model/spec/load.h"
#include "model/spec/triattention_adapter.h"

namespace dms {
namespace {

/// What can be wrong before any file is looked at. A wrong DMS_ISA is found here: kernels first
/// meet it inside parallel regions, which an exception must not leave.
cpu::ResolvedModelOptions check_options(const ModelOptions& options) {
  kernels::active_isa();
  llm::find_device(options.device);
  if (options.device != "cpu" && !options.draft.empty()) {
    throw InputError({.field = "draft",
                      .what = "guesses ahead on the device cpu alone",
                      .got = "device " + options.device,
                      .expected = "device cpu"});
  }
  return cpu::resolve(options);
}

/// Gives `spec` the eviction of an adapter, and `weights` what it needs.
void add_adapter(const std::filesystem::path& adapter,
                 ModelSpec& spec,
                 std::unique_ptr<WeightSource>& weights) {
  if (adapter.empty()) return;
  apply_adapter(adapter, spec);
  std::unique_ptr<WeightSource> opened = open_adapter(adapter, spec);
  if (spec.triattention) read_query_statistics(*weights, *opened, spec);
  weights = layer_weights(std::move(weights), std::move(opened));
}

/// In what format linear layers will be.
std::string weights_name(const cpu::ResolvedModelOptions& options) {
  if (options.device != "cpu" && !options.weights.empty()) return options.weights;
  return std::string(kernels::weight_format_name(options.weight_format));
}

}  // namespace

ModelSource::ModelSource(std::unique_ptr<State> state) : state_(std::move(state)) {}
ModelSource::ModelSource(ModelSource&&) noexcept = default;
ModelSource::~ModelSource() = default;

ModelSource::ModelSource(const std::filesystem::path& folder, const ModelOptions& options) {
  cpu::ResolvedModelOptions resolved = check_options(options);
  llm::DescribedModel model = llm::describe_model(folder, options.metadata_scope);
  std::optional<Tokenizer> tokenizer = model.load_tokenizer();
  std::unique_ptr<WeightSource> weights = model.open_weights();
  cpu::follow_stored_weights(model.spec, *weights, resolved);
  add_adapter(options.adapter, model.spec, weights);
  llm::find_device(resolved.device).check(model.spec, resolved);
  if (tokenizer) resolved.replay_prompt = llm::replay_prompt_source(*tokenizer, folder);
  ModelInfo info = model.info();
  info.weights = weights_name(resolved);
  std::unique_ptr<ModelSource> draft = llm::open_draft(options, info, tokenizer);
  auto guides = grammar::make_guides(tokenizer ? tokenizer->impl_ : nullptr, model.spec.vocab);
  state_ = std::make_unique<State>(State{.spec = std::move(model.spec),
                                         .options = resolved,
                                         .weights = std::move(weights),
                                         .tokenizer = std::move(tokenizer),
                                         .folder = folder,
                                         .info = std::move(info),
                                         .draft = std::move(draft),
                                         .guides = std::move(guides)});
}

ModelSource ModelSource::with_random_weights(const std::filesystem::path& config_file,
                                             uint64_t seed,
                                             const ModelOptions& options) {
  const cpu::ResolvedModelOptions resolved = check_options(options);
  ModelSpec spec = load_spec_from_config(config_file);
  std::unique_ptr<WeightSource> weights = random_weights(spec, seed);
  add_adapter(options.adapter, spec, weights);
  llm::find_device(resolved.device).check(spec, resolved);
  ModelInfo info = llm::make_model_info(spec, {});
  info.weights = weights_name(resolved);
  std::unique_ptr<ModelSource> draft = llm::open_draft(options, info, std::nullopt);
  auto guides = grammar::make_guides(nullptr, spec.vocab);
  return ModelSource(std::make_unique<State>(State{.spec = std::move(spec),
                                                   .options = resolved,
                                                   .weights = std::move(weights),
                                                   .info = std::move(info),
                                                   .draft = std::move(draft),
                                                   .guides = std::move(guides)}));
}

const ModelInfo& ModelSource::info() const { return state_->info; }
bool ModelSource::has_tokenizer() const { return state_->tokenizer.has_value(); }

const Tokenizer& ModelSource::tokenizer() const {
  return llm::require_tokenizer(state_->tokenizer, state_->folder);
}

std::vector<int32_t> ModelSource::encode(std::string_view text,
                                         bool add_special_tokens,
                                         int64_t max_tokens) const {
  return tokenizer().encode(text, add_special_tokens, max_tokens);
}

CachePlan ModelSource::check(const CacheOptions& options) const {
  const auto plan =
      llm::find_device(state_->options.device).plan(state_->spec, state_->options, options);
  return {.max_tokens = plan->max_tokens(), .window_tokens = plan->window_tokens()};
}

void ModelSource::check(const SamplingParams& params) const {
  engine::check(params);
  if (params.structure.kind != Structure::Kind::none) state_->guides->compile(params.structure, {});
  const int64_t vocab = state_->spec.vocab;
  for (const int32_t id : params.stop_ids) {
    if (id < vocab) continue;
    throw InputError({.field = "stop_ids",
                      .what = "no such token",
                      .got = std::to_string(id),
                      .expected = "0 to " + std::to_string(vocab - 1)});
  }
  if (!params.stop.empty() && !has_tokenizer()) {
    throw InputError({.field = "stop",
                      .what = "the model has no tokenizer, so that its answers are no text",
                      .hint = "use stop_ids"});
  }
}

void ModelSource::check_prompt(std::span<const int32_t> ids, int64_t max_tokens) const {
  engine::check_prompt(
      ids,
      {.max_tokens = max_tokens, .vocab = state_->spec.vocab, .context = state_->spec.context});
}

namespace llm {

const Tokenizer& require_tokenizer(const std::optional<Tokenizer>& tokenizer,
                                   const std::filesystem::path& model) {
  if (tokenizer) return *tokenizer;
  const bool is_one_file = gguf::is_gguf(model);
  throw InputError({.where = is_one_file ? model.string() + ": tokenizer.ggml.tokens"
                                         : (model / kTokenizerFile).string(),
                    .what = "missing",
                    .hint = "give token ids instead of text"});
}

void require_known(std::span<const int32_t> ids,
                   int64_t vocab,
                   const std::filesystem::path& model) {
  const auto unknown = std::ranges::find_if(ids, [&](int32_t id) { return id < 0 || id >= vocab; });
  if (unknown == ids.end()) return;
  throw InputError({.where = model.string(),
                    .what = "the tokenizer has tokens that the model does not have",
                    .got = "token id " + std::to_string(*unknown),
                    .expected = "ids below " + std::to_string(vocab)});
}

}  // namespace llm
}  // namespace dms
