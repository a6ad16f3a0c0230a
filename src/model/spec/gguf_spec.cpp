// A GGUF file's metadata to a ModelSpec: as the config.json that the family reads.

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <string_view>
#include <utility>

#include "base/json.h"
#include "dms/error.h"
#include "gguf/blocks.h"
#include "model/spec/config.h"
#include "model/spec/gguf_model.h"
#include "model/spec/gguf_names.h"
#include "model/spec/weight_survey.h"

namespace dms {
namespace {

constexpr int64_t kMaxSize = int64_t{1} << 30;
constexpr double kMaxNumber = 1e12;
constexpr std::array<std::string_view, 3> kArchitectures{"llama", "qwen2", "qwen3"};

/// The keys of one architecture's settings.
class Settings {
 public:
  Settings(const JsonFields& metadata, std::string architecture)
      : metadata_(metadata), prefix_(std::move(architecture) + ".") {}

  bool has(const char* key) const { return metadata_.has(prefix_ + key); }
  int64_t size(const char* key) const { return metadata_.integer(prefix_ + key, 1, kMaxSize); }
  int64_t size_or(const char* key, int64_t fallback) const {
    return metadata_.integer_or(prefix_ + key, fallback, 0, kMaxSize);
  }
  double number(const char* key) const { return metadata_.number(prefix_ + key, 0.0, kMaxNumber); }
  double number_or(const char* key, double fallback) const {
    return metadata_.number_or(prefix_ + key, fallback, 0.0, kMaxNumber);
  }
  std::string string_or(const char* key, std::string fallback) const {
    return metadata_.string_or(prefix_ + key, std::move(fallback));
  }
  bool boolean_or(const char* key, bool fallback) const {
    return metadata_.boolean_or(prefix_ + key, fallback);
  }

  [[noreturn]] void refuse(const char* key,
                           const std::string& what,
                           const std::string& got,
                           const std::string& expected) const {
    throw InputError({.where = metadata_.where() + ": " + prefix_ + key,
                      .what = what,
                      .got = got,
                      .expected = expected});
  }

 private:
  const JsonFields& metadata_;
  std::string prefix_;
};

std::string architecture_of(const JsonFields& metadata) {
  constexpr const char* kKey = "general.architecture";
  std::string name = metadata.string(kKey);
  if (std::ranges::find(kArchitectures, name) != kArchitectures.end()) return name;
  throw InputError({.where = metadata.where() + ": " + kKey,
                    .what = "unknown architecture",
                    .got = quote_json(name),
                    .expected = "llama (Mistral too), qwen2 or qwen3"});
}

/// What would change the answers and has no place here.
void refuse_others(const Settings& settings) {
  if (const int64_t experts = settings.size_or("expert_count", 0); experts > 0) {
    settings.refuse(
        "expert_count", "mixtures of experts are not supported", std::to_string(experts), "0");
  }
  if (!settings.boolean_or("attention.causal", true)) {
    settings.refuse("attention.causal", "an encoder is not supported", "false", "true");
  }
}

int64_t head_dim_of(const Settings& settings, int64_t hidden, int64_t heads) {
  if (!settings.has("attention.key_length") && hidden % heads != 0) {
    settings.refuse("attention.head_count",
                    "does not divide embedding_length, and there is no attention.key_length",
                    std::to_string(heads),
                    "a divisor of " + std::to_string(hidden));
  }
  const int64_t fallback = hidden / heads;
  const int64_t keys = settings.size_or("attention.key_length", fallback);
  const int64_t values = settings.size_or("attention.value_length", fallback);
  if (keys == values) return keys;
  settings.refuse("attention.value_length",
                  "values as long as keys are needed",
                  std::to_string(values),
                  std::to_string(keys));
}

/// Channels that turn. llama's rows are stored in pairs over all of a head.
int64_t rotary_channels(const Settings& settings, bool in_pairs, int64_t head_dim) {
  constexpr const char* kKey = "rope.dimension_count";
  const int64_t channels = settings.size_or(kKey, head_dim);
  if (channels == head_dim) return channels;
  if (in_pairs || channels < 2 || channels > head_dim || channels % 2 != 0) {
    settings.refuse(
        kKey,
        "bad value",
        std::to_string(channels),
        in_pairs ? std::to_string(head_dim) : "an even number, 2 to " + std::to_string(head_dim));
  }
  return channels;
}

void add_yarn(const Settings& settings, double factor, Json& scaling) {
  for (const auto& [key, name] : {std::pair{"rope.scaling.yarn_beta_fast", "beta_fast"},
                                  std::pair{"rope.scaling.yarn_beta_slow", "beta_slow"}}) {
    if (settings.has(key)) scaling[name] = settings.number(key);
  }
  // llama.cpp multiplies YaRN's own factor by it.
  const double own = factor <= 1.0 ? 1.0 : 0.1 * std::log(factor) + 1.0;
  const double extra = settings.number_or("rope.scaling.attn_factor", 1.0);
  if (extra != 1.0) scaling["attention_factor"] = own * extra;
}

void add_rope_scaling(const Settings& settings, Json& config) {
  const bool is_old = settings.has("rope.scale_linear");
  const std::string type = settings.string_or("rope.scaling.type", is_old ? "linear" : "none");
  if (type == "none") return;
  if (type != "linear" && type != "yarn") {
    settings.refuse(
        "rope.scaling.type", "unknown RoPE scaling", quote_json(type), "none, linear or yarn");
  }
  const double factor = settings.number(is_old ? "rope.scale_linear" : "rope.scaling.factor");
  Json scaling{{"rope_type", type}, {"factor", factor}};
  if (const int64_t original = settings.size_or("rope.scaling.original_context_length", 0);
      original > 0) {
    scaling["original_max_position_embeddings"] = original;
  }
  if (type == "yarn") add_yarn(settings, factor, scaling);
  config["rope_scaling"] = std::move(scaling);
}

bool has_weight(const gguf::File& file, WeightRole role) {
  return file.find(gguf_name(role, role == WeightRole::head ? -1 : 0)) != nullptr;
}

/// The vocabulary is what the embedding has rows for.
int64_t vocabulary_of(const gguf::File& file) {
  const std::string name = gguf_name(WeightRole::embedding, -1);
  const gguf::Tensor* embedding = file.find(name);
  if (embedding != nullptr && embedding->shape.size() == 2) return embedding->shape.front();
  throw InputError({.where = file.where() + ": tensor " + name,
                    .what = embedding == nullptr ? "missing" : "wrong shape",
                    .got = embedding == nullptr ? "" : Json(embedding->shape).dump(),
                    .expected = "[vocabulary, width]"});
}

void add_token_ids(const JsonFields& metadata, Json& config) {
  const auto copy = [&](const char* key, Json& to) {
    const Json* id = metadata.find(key);
    if (id != nullptr) to.push_back(*id);
  };
  Json bos = Json::array();
  Json ends = Json::array();
  copy("tokenizer.ggml.bos_token_id", bos);
  // A text's end, a turn's, and a message's after which the caller answers a tool call.
  copy("tokenizer.ggml.eos_token_id", ends);
  copy("tokenizer.ggml.eot_token_id", ends);
  copy("tokenizer.ggml.eom_token_id", ends);
  config["bos_token_id"] = std::move(bos);
  config["eos_token_id"] = std::move(ends);
}

Json config_of(const gguf::File& file,
               const JsonFields& metadata,
               const std::string& architecture) {
  const Settings settings(metadata, architecture);
  refuse_others(settings);
  const bool is_llama = architecture == "llama";
  const int64_t hidden = settings.size("embedding_length");
  const int64_t heads = settings.size("attention.head_count");
  const int64_t head_dim = head_dim_of(settings, hidden, heads);
  const int64_t window = settings.size_or("attention.sliding_window", 0);
  Json config{{"model_type", is_llama && window > 0 ? "mistral" : architecture},
              {"num_hidden_layers", settings.size("block_count")},
              {"hidden_size", hidden},
              {"num_attention_heads", heads},
              {"num_key_value_heads", settings.size_or("attention.head_count_kv", heads)},
              {"head_dim", head_dim},
              {"intermediate_size", settings.size("feed_forward_length")},
              {"vocab_size", vocabulary_of(file)},
              {"max_position_embeddings", settings.size("context_length")},
              {"rms_norm_eps", settings.number("attention.layer_norm_rms_epsilon")},
              {"rope_theta", settings.number_or("rope.freq_base", 10000.0)},
              {"tie_word_embeddings", !has_weight(file, WeightRole::head)},
              {"attention_bias", has_weight(file, WeightRole::q_bias)},
              {"mlp_bias", has_weight(file, WeightRole::gate_bias)}};
  if (is_llama && window > 0) config["sliding_window"] = window;
  add_rope_scaling(settings, config);
  add_token_ids(metadata, config);
  return config;
}

/// Llama 3's scaling as llama.cpp has it: a divisor for each frequency.
void read_rope_factors(const gguf::File& file, ModelSpec& spec) {
  const gguf::Tensor* tensor = file.find(kRopeFactors);
  if (tensor == nullptr) return;
  const std::string where = file.where() + ": tensor " + kRopeFactors;
  const std::vector<int64_t> shape{spec.rope.rotary_dim / 2};
  if (tensor->shape != shape || tensor->type->name != "F32") {
    throw InputError({.where = where,
                      .what = "wrong type or shape",
                      .got = std::string(tensor->type->name) + " " + Json(tensor->shape).dump(),
                      .expected = "F32 " + Json(shape).dump()});
  }
  std::vector<float>& divisors = spec.rope.frequency_divisors;
  divisors.resize(static_cast<size_t>(shape.front()));
  file.read(*tensor, 0, std::as_writable_bytes(std::span(divisors)));
  for (const float divisor : divisors) {
    if (std::isfinite(divisor) && divisor > 0) continue;
    throw InputError({.where = where,
                      .what = "bad value",
                      .got = std::to_string(divisor),
                      .expected = "finite numbers, more than 0"});
  }
}

void note_unread_tensors(const gguf::File& file, ModelSpec& spec) {
  std::set<std::string, std::less<>> read;
  if (!spec.rope.frequency_divisors.empty()) read.emplace(kRopeFactors);
  for (const WeightName& weight : weight_names(spec)) {
    read.insert(gguf_name(weight.role, weight.layer));
  }
  std::vector<std::string> unread;
  for (const auto& [name, tensor] : file.tensors()) {
    if (!read.contains(name)) unread.push_back(name);
  }
  note_unread(unread, file.where(), "the architecture", spec);
}

}  // namespace

ModelSpec load_gguf_spec(const gguf::File& file) {
  const JsonFields metadata(file.metadata(), file.where());
  const std::string architecture = architecture_of(metadata);
  const Json config = config_of(file, metadata, architecture);
  ModelSpec spec = spec_of(JsonFields(config, file.where() + ": as config.json"));
  const bool is_llama = architecture == "llama";
  spec.rope.rotary_dim = rotary_channels(Settings(metadata, architecture), is_llama, spec.head_dim);
  if (is_llama) read_rope_factors(file, spec);
  note_unread_tensors(file, spec);
  return spec;
}

std::vector<StoredType> stored_types(const gguf::File& file) {
  std::vector<StoredType> types;
  for (const auto& [name, tensor] : file.tensors()) {
    auto type = std::ranges::find(types, tensor.type->name, &StoredType::name);
    if (type == types.end()) {
      type = types.insert(types.end(), StoredType{.name = std::string(tensor.type->name)});
    }
    ++type->tensors;
    type->parameters += tensor.bytes / tensor.type->bytes * tensor.type->elements;
    type->bytes += tensor.bytes;
  }
  std::ranges::stable_sort(types, std::greater(), &StoredType::bytes);
  return types;
}

}  // namespace dms
