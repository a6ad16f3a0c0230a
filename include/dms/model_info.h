#pragma once
// What a folder or a GGUF file says of its model.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dms/sampling.h"

namespace dms {

/// Where DMS settings are looked for.
enum class MetadataScope {
  folder_only,  // nothing is read outside of the model's folder
  with_parent,  // and in the training_log.json beside it (FastDMS's layout)
};

/// How a model's eviction was trained.
struct DmsInfo {
  std::string source;  // "adapter" | "neuron"
  int64_t window = 0;
  int64_t decision_shift = 0;
  std::string alpha_per;  // "head" | "layer"
  double alpha_scale = 0;
  double alpha_offset = 0;
  double target_cr = 0;  // 0: not stated
  bool disable_eviction = false;
  std::string origin;  // the file the settings came from
};

/// An adapter's scores of KVzap, by which tokens go when they leave the window.
struct KvzapInfo {
  std::string form;      // "linear" | "mlp"
  double threshold = 0;  // of the scores
  int64_t window = 0;
  int64_t sinks = 0;     // first tokens, which stay
  double target_cr = 0;  // 0: not stated
  std::string origin;    // the file the settings came from
};

/// What the tensors of one type in a model's file amount to.
struct StoredType {
  std::string name;  // "Q4_K"
  int64_t tensors = 0;
  int64_t parameters = 0;
  int64_t bytes = 0;
};

struct ModelInfo {
  std::string model_type;
  int64_t parameters = 0;
  int64_t layers = 0;
  int64_t hidden = 0;
  int64_t q_heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t ffn = 0;
  int64_t vocab = 0;
  int64_t context = 0;
  int64_t kv_bytes_per_token = 0;  // dense, in bf16, whatever the cache's dtype
  bool tied_head = false;
  std::vector<int32_t> eos_ids;
  std::optional<int32_t> bos_id;
  std::optional<DmsInfo> dms;
  std::optional<KvzapInfo> kvzap;
  std::string policy = "none";     // what an empty CacheOptions::policy means
  std::vector<std::string> notes;  // what is odd about the folder and was read all the same
  // How the folder's generation_config.json wants tokens chosen, as transformers reads it: greedy
  // unless it says do_sample. A recommendation: nothing here applies it by itself.
  SamplingParams sampling{};
  std::string weights{};  // type of the linear layers in memory: "f32", "bf16", "int8", "int4"
  std::vector<StoredType> stored{};  // of a GGUF file, those with most bytes first; else empty
};

}  // namespace dms
