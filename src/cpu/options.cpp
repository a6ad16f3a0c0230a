#include "cpu/options.h"

#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file_status.h"
#include "cpu/rotations.h"
#include "dms/error.h"

namespace dms::cpu {
namespace {

constexpr int64_t kMaxChunk = int64_t{1} << 20;
constexpr int64_t kMaxThreads = 1024;
constexpr int64_t kMaxSequences = int64_t{1} << 16;
constexpr int64_t kMaxLayers = int64_t{1} << 16;
constexpr int64_t kMaxPreallocated = std::numeric_limits<int32_t>::max();

DType storage_type(const std::string& field, const std::string& value) {
  if (value == "f32") return DType::f32;
  if (value == "bf16") return DType::bf16;
  throw InputError(
      {.field = field, .what = "unknown type", .got = value, .expected = "f32 or bf16"});
}

kernels::WeightFormat weight_format(const std::string& name) {
  if (const auto format = kernels::parse_weight_format(name)) return *format;
  std::string known;
  for (const kernels::WeightFormat format : kernels::weight_formats()) {
    known += (known.empty() ? "" : ", ") + std::string(kernels::weight_format_name(format));
  }
  throw InputError(
      {.field = "weights", .what = "unknown type", .got = name, .expected = "one of " + known});
}

kernels::KvFormat window_format(DType type) {
  return type == DType::f32 ? kernels::KvFormat::f32 : kernels::KvFormat::bf16;
}

/// What survivors are stored in; empty `text`: as the window.
kernels::PageFormat survivor_format(std::string_view text, kernels::KvFormat window) {
  if (text.empty()) return window;
  if (const auto format = kernels::parse_page_format(text, window)) return *format;
  std::string known;
  for (const kernels::KvFormat format : kernels::kv_formats()) {
    known += (known.empty() ? "" : ", ") + std::string(kernels::kv_format_name(format));
  }
  throw InputError({.field = "kv_dtype",
                    .what = "unknown type",
                    .got = std::string(text),
                    .expected = "one of " + known + ", or k=ONE,v=ONE (f32 for both or none)"});
}

void check_range(const std::string& field, int64_t value, int64_t min, int64_t max) {
  if (value >= min && value <= max) return;
  throw InputError({.field = field,
                    .what = "out of range",
                    .got = std::to_string(value),
                    .expected = std::to_string(min) + " to " + std::to_string(max)});
}

/// Throws unless `needed`, which `field` is of no use without, is set.
void require_with(const char* field, const char* what, const std::string& needed, int64_t value) {
  if (value > 0) return;
  throw InputError(
      {.field = field, .what = what, .got = needed + " 0", .expected = needed + " of at least 1"});
}

/// What is kept beyond its use needs a bound, and swapping a shortage and a place. Other devices'
/// memory is bounded without an option.
void check_sharing(const ModelOptions& options) {
  const std::string limit = "kv_memory_bytes";
  const bool needs_limit = options.device == "cpu";
  if (options.prefix_cache && needs_limit) {
    require_with(
        "prefix_cache", "needs a limit of the memory it may fill", limit, options.kv_memory_bytes);
  }
  if (options.swap_bytes > 0 && needs_limit) {
    require_with("swap_bytes",
                 "is never used without a limit of the memory",
                 limit,
                 options.kv_memory_bytes);
  }
  if (options.swap_folder.empty()) return;
  require_with("swap_folder", "is never used without room in it", "swap_bytes", options.swap_bytes);
  if (!is_folder(options.swap_folder)) {
    throw InputError(
        {.field = "swap_folder", .what = "is no folder", .got = options.swap_folder.string()});
  }
}

/// Without a policy the window only says which tokens are stored in its type.
void check_window(const ModelSpec& spec,
                  const cache::CacheShape& shape,
                  const CacheOptions& cache) {
  if (!cache.window_tokens || policy_name(spec, cache) != "none") return;
  if (shape.survivor_format != shape.window_format) return;
  throw InputError({.field = "window_tokens",
                    .what = "has no effect with the policy none",
                    .got = std::to_string(*cache.window_tokens),
                    .expected = "another policy, or another kv_dtype"});
}

/// Without another type beyond the window there is nothing to leave exact.
void check_exact_layers(const cache::CacheShape& shape) {
  if (shape.exact_layers == 0 || shape.survivor_format != shape.window_format) return;
  throw InputError({.field = "kv_exact_layers",
                    .what = "has no effect where all survivors have the model's dtype",
                    .got = std::to_string(shape.exact_layers),
                    .expected = "another kv_dtype"});
}

}  // namespace

std::string policy_name(const ModelSpec& spec, const CacheOptions& options) {
  if (!options.policy.empty()) return options.policy;
  if (spec.kvzap) return "kvzap";
  if (spec.triattention) return "triattention";
  return spec.dms ? "dms" : "none";
}

ResolvedModelOptions resolve(const ModelOptions& options) {
  check_range("threads", options.threads, 0, kMaxThreads);
  check_range("chunk_tokens", options.chunk_tokens, 1, kMaxChunk);
  check_range("max_step_tokens", options.max_step_tokens, 1, kMaxChunk);
  check_range("max_sequences", options.max_sequences, 1, kMaxSequences);
  check_range("kv_memory_bytes", options.kv_memory_bytes, 0, std::numeric_limits<int64_t>::max());
  check_range("swap_bytes", options.swap_bytes, 0, std::numeric_limits<int64_t>::max());
  check_sharing(options);
  ResolvedModelOptions resolved{
      .device = options.device,
      .weights = options.weights,
      .dtype = storage_type("dtype", options.dtype),
      .threads = options.threads,
      .chunk_tokens = options.chunk_tokens,
      .max_step_tokens = std::max(options.max_step_tokens, options.chunk_tokens),
      .max_sequences = options.max_sequences,
      .kv_memory_bytes = options.kv_memory_bytes,
      .prefix_cache = options.prefix_cache,
      .swap_bytes = options.swap_bytes,
      .swap_folder = options.swap_folder};
  resolved.weights_as_stored = options.weights.empty();
  if (options.device != "cpu") return resolved;  // it says itself which formats it has
  resolved.weight_format = weight_format(options.weights.empty() ? options.dtype : options.weights);
  if (resolved.weight_format == kernels::WeightFormat::f32 && resolved.dtype == DType::bf16) {
    throw InputError({.field = "weights",
                      .what = "f32 weights need the dtype f32",
                      .got = "dtype bf16",
                      .expected = "dtype f32"});
  }
  if (resolved.dtype == DType::f32) {
    resolved.compute = kernels::Compute::f32;
  } else if (kernels::is_quantised(resolved.weight_format)) {
    resolved.compute = kernels::Compute::int8;
  }
  return resolved;
}

void follow_stored_weights(const ModelSpec& spec,
                           const WeightSource& weights,
                           ResolvedModelOptions& options) {
  if (!options.weights_as_stored || options.dtype != DType::bf16) return;
  for (const WeightName& weight : weight_names(spec)) {
    if (weight.layer < 0) continue;
    const std::optional<CodeGroups> stored = weights.code_groups(weight);
    if (!stored) continue;
    options.weight_format =
        stored->bits == 4 ? kernels::WeightFormat::int4 : kernels::WeightFormat::int8;
    options.compute = kernels::Compute::int8;
    return;
  }
}

cache::CacheShape cache_shape(const ModelSpec& spec,
                              const ResolvedModelOptions& model,
                              const CacheOptions& cache) {
  check_range("preallocate_tokens", cache.preallocate_tokens, 0, kMaxPreallocated);
  check_range("kv_exact_layers", cache.kv_exact_layers, 0, kMaxLayers);
  cache::CacheShape shape{
      .layers = spec.layers,
      .kv_heads = spec.kv_heads,
      .head_dim = spec.head_dim,
      .group = spec.group(),
      .attention_scale = spec.query_scale(),
      .attention_soft_cap = static_cast<float>(spec.attention_soft_cap),
      .alibi = {.slopes = spec.alibi_slopes, .bf16_products = spec.alibi_in_bf16},
      .window_format = window_format(model.dtype),
      .survivor_format = survivor_format(cache.kv_dtype, window_format(model.dtype)),
      .exact_layers = cache.kv_exact_layers,
      .sliding_window = spec.sliding_window};
  check_window(spec, shape, cache);
  check_exact_layers(shape);
  return shape;
}

namespace {

/// Only keys that do not depend on where the sequence began can be read from another distance.
void check_shift(const ModelSpec& spec) {
  const auto refuse = [](const std::string& what, const std::string& got) {
    throw InputError({.field = "policy_args.enable_pos_shift",
                      .what = what,
                      .got = got,
                      .expected = "enable_pos_shift=false"});
  };
  if (spec.position == PositionKind::learned) {
    refuse("cannot be used with learned positions", "model_type " + spec.model_type);
  }
  if (spec.rope.depends_on_length()) {
    refuse("cannot be used with RoPE scaling that depends on the length",
           spec.rope.scaling == RopeScaling::dynamic ? "rope scaling dynamic"
                                                     : "rope scaling longrope");
  }
}

}  // namespace

policy::PolicyPtr make_policy(const ModelSpec& spec,
                              const CacheOptions& options,
                              std::shared_ptr<const policy::TurnTables> turns) {
  policy::PolicyRequest request{.layers = spec.layers,
                                .kv_heads = spec.kv_heads,
                                .args = options.policy_args,
                                .window = options.window_tokens,
                                .decisions_file = options.decisions_file,
                                .trained = std::nullopt,
                                .q_heads = spec.q_heads,
                                .head_dim = spec.head_dim,
                                .rotations = rotations_of(spec),
                                .turns = std::move(turns),
                                .position_bias = position_bias(spec),
                                .scored = std::nullopt,
                                .context = spec.context};
  if (spec.dms) {
    request.trained = policy::TrainedEviction{.window = spec.dms->window,
                                              .decision_shift = spec.dms->decision_shift,
                                              .per_layer = spec.dms->per_layer,
                                              .disable_eviction = spec.dms->disable_eviction,
                                              .sinks = spec.dms->sinks,
                                              .target_cr = spec.dms->target_cr};
  }
  if (spec.kvzap) {
    request.scored = policy::ScoredEviction{.threshold = spec.kvzap->threshold,
                                            .window = spec.kvzap->window,
                                            .sinks = spec.kvzap->sinks,
                                            .target_cr = spec.kvzap->target_cr};
  }
  if (spec.triattention) {
    request.queries = policy::QueryStatistics{.means = spec.triattention->means,
                                              .sizes = spec.triattention->sizes};
  }
  policy::PolicyPtr source = policy::make_policy(policy_name(spec, options), request);
  if (source->far_position(0)) check_shift(spec);
  return source;
}

ReplayPrompt replay_prompt(const ModelSpec& spec,
                           const ResolvedModelOptions& model,
                           std::string_view policy) {
  const auto refuse = [&](const char* what, const std::string& got, const std::string& expected) {
    throw InputError({.field = "policy",
                      .what = what,
                      .got = std::string(policy) + " with " + got,
                      .expected = expected});
  };
  if (!model.replay_prompt) {
    refuse("asks the model in words to repeat its prompt", "no tokenizer", "a model with one");
  }
  ReplayPrompt prompt = model.replay_prompt();
  for (const std::vector<int32_t>* words : {&prompt.whole, &prompt.part, &prompt.answer}) {
    for (const int32_t id : *words) {
      if (id >= 0 && id < spec.vocab) continue;
      refuse("asks for the repetition in a token that the model does not have",
             "token id " + std::to_string(id),
             "ids below " + std::to_string(spec.vocab));
    }
  }
  if (prompt.longest_context(spec.context) < 1) {
    refuse("too short a context to read a prompt twice",
           "a context of " + std::to_string(spec.context) + " tokens",
           "another policy");
  }
  return prompt;
}

}  // namespace dms::cpu
