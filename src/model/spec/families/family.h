#pragma once
// A family: one function from config.json's fields to a ModelSpec, and the names of its weights.
// The list of all families is in families.cpp.

#include <functional>
#include <span>
#include <string_view>

#include "base/json.h"
#include "model/spec/model_spec.h"
#include "model/spec/rope_config.h"

namespace dms::families {

struct Family {
  std::string_view model_type;  // config.json's
  ModelSpec (*make_spec)(const JsonFields& config);
};

std::span<const Family> all();
/// The family of a model_type, or null.
const Family* find(std::string_view model_type);

ModelSpec make_falcon(const JsonFields& config);
ModelSpec make_gemma2(const JsonFields& config);
ModelSpec make_gemma3(const JsonFields& config);
ModelSpec make_gpt_neox(const JsonFields& config);
ModelSpec make_llama(const JsonFields& config);
ModelSpec make_mistral(const JsonFields& config);
ModelSpec make_mpt(const JsonFields& config);
ModelSpec make_opt(const JsonFields& config);
ModelSpec make_phi3(const JsonFields& config);
ModelSpec make_qwen2(const JsonFields& config);
ModelSpec make_qwen3(const JsonFields& config);
ModelSpec make_seed_oss(const JsonFields& config);
ModelSpec make_smollm3(const JsonFields& config);

// Bounds on sizes: above every published model, and small enough that no product of them overflows.
inline constexpr int64_t kMaxLayers = 4096;
inline constexpr int64_t kMaxHeads = 4096;
inline constexpr int64_t kMaxHeadDim = 1024;
inline constexpr int64_t kMaxWidth = int64_t{1} << 20;
inline constexpr int64_t kMaxVocab = int64_t{1} << 24;
inline constexpr int64_t kMaxContext = int64_t{1} << 30;
inline constexpr int64_t kMaxWindow = kMaxContext;

// Fields that families name and assume otherwise. Each throws InputError on what it can't be.
Activation read_activation(const JsonFields& config, const char* key, const char* absent);
/// Notes what is assumed.
void read_context(const JsonFields& config, const char* key, int64_t absent, ModelSpec& spec);
/// `key`: what spec.kv_heads came from.
void check_groups(const JsonFields& config, const char* key, const ModelSpec& spec);

/// What transformers assumes where config.json leaves a key out. 0: derived from the other sizes.
struct FamilyDefaults {
  int64_t context = 0;
  int64_t kv_heads = 0;  // else as many as query heads; ignored where it does not divide them
  int64_t head_dim = 0;  // else hidden / query heads
  double norm_eps = 1e-6;
  bool tied_head = false;
  const char* activation_key = "hidden_act";
  const char* activation = "silu";
  RopeKeys rope{};
};

/// What Llama and its descendants have in common: sizes, RMSNorm, RoPE, gated MLP, weight names.
/// Throws InputError on a missing or absurd field.
ModelSpec llama_like(const JsonFields& config, const FamilyDefaults& defaults);
std::span<const WeightPattern> llama_weight_patterns();

/// Per layer, from use_sliding_window, sliding_window, layer_types and max_window_layers (Qwen).
std::vector<int64_t> qwen_sliding_windows(const JsonFields& config, int64_t layers);

/// Per layer `window` or 0, as layer_types says; where config.json has no such list, as `slides`
/// does. Throws InputError on a list of another length or with other kinds of layers.
std::vector<int64_t> layer_windows(const JsonFields& config,
                                   int64_t layers,
                                   int64_t window,
                                   const std::function<bool(int64_t layer)>& slides);

}  // namespace dms::families
