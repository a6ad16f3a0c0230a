#pragma once
// From the public options' strings to types, checked once.

#include <memory>
#include <string>
#include <string_view>

#include "base/dtype.h"
#include "cache/sequence_cache.h"
#include "cpu/replay_prompt.h"
#include "dms/llm.h"
#include "kernels/matmul.h"
#include "model/spec/model_spec.h"
#include "model/spec/weights.h"
#include "policy/policy.h"

namespace dms::cpu {

struct ResolvedModelOptions {
  std::string device = "cpu";
  std::string weights{};      // as asked for: another device may have formats of its own
  DType dtype = DType::bf16;  // activations in products; the window's type
  kernels::WeightFormat weight_format = kernels::WeightFormat::bf16;
  bool weights_as_stored = false;  // nobody asked for a format: a model's codes stay what they are
  kernels::Compute compute = kernels::Compute::bf16;
  int64_t threads = 0;
  int64_t chunk_tokens = 256;
  int64_t max_step_tokens = 512;
  int64_t max_sequences = 64;
  int64_t kv_memory_bytes = 0;  // 0: no limit
  bool prefix_cache = false;
  int64_t swap_bytes = 0;
  std::filesystem::path swap_folder{};  // empty: in memory
  ReplayPromptSource replay_prompt{};   // empty: the model has no words
};

/// CacheOptions::policy, or what an empty one means for the model.
std::string policy_name(const ModelSpec& spec, const CacheOptions& options);
/// Throws InputError naming the option.
ResolvedModelOptions resolve(const ModelOptions& options);
/// Where nobody asked for a format of weights, and bf16 activations allow it: that of the codes in
/// which `weights` holds the model's linear layers.
void follow_stored_weights(const ModelSpec& spec,
                           const WeightSource& weights,
                           ResolvedModelOptions& options);
cache::CacheShape cache_shape(const ModelSpec& spec,
                              const ResolvedModelOptions& model,
                              const CacheOptions& cache);
/// `turns`: the model's, for all its policies; null: each has its own.
policy::PolicyPtr make_policy(const ModelSpec& spec,
                              const CacheOptions& options,
                              std::shared_ptr<const policy::TurnTables> turns = nullptr);
/// For `policy` of a model. Throws InputError where the model can't be made to repeat anything.
ReplayPrompt replay_prompt(const ModelSpec& spec,
                           const ResolvedModelOptions& model,
                           std::string_view policy);

}  // namespace dms::cpu
