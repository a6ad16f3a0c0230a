#pragma once
// Everything a training run is told: the YAML file's sections `model`, `dms`, `data` and
// `hf_trainer` with the names and defaults of NVIDIA's DMS recipe (seeds 000, 001), and what we
// add: `objective`, `dms.train`, `dms.kl`, `dms.decision_shift`, `data.datasets` and others marked
// "ours".

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/json.h"

namespace dms::train {

enum class Objective { dms, lm };
enum class KlDirection { reverse, forward };  // KL(student || teacher) | KL(teacher || student)
enum class LrSchedule { constant, linear, cosine, warmup_stable_decay };
enum class OptimizerKind { adamw, muon };
enum class LossOn { all, assistant };
enum class DatasetKind {
  text,         // each record is one text
  conversation  // each record is a list of {role, content}
};

struct ModelSection {
  std::filesystem::path name;     // a Hugging Face folder (relative paths: from the working folder)
  DType dtype = DType::f32;       // of the frozen weights; what is trained has float32 masters
  std::filesystem::path teacher;  // `teacher_name`; empty: the student's own weights (also where
                                  // teacher_name and teacher_dtype repeat name and dtype)
  DType teacher_dtype = DType::f32;  // absent: dtype
  bool from_scratch = false;  // ours: random weights of the folder's config.json (objective lm)
};

struct DmsSection {
  double alpha_scale = 100.0;
  double initial_alpha_offset = 5.0;
  int64_t window_size = 512;
  bool disable_eviction = false;
  bool separate_alpha = true;  // adapter, else neuron
  bool per_layer = false;      // alpha_per: layer
  double tau = 0.1;
  std::optional<double> tau_start;  // ours: tau falls from here to `tau` over the CR's schedule
  double initial_cr = 1.0;
  double final_cr = 16.0;
  std::optional<int64_t> final_step;      // of the run; absent: hf_trainer.max_steps
  int64_t decision_shift = 1;             // ours
  std::optional<bool> alpha_bias;         // ours; absent: true with `init`, else the model's
  std::optional<int64_t> n_sink;          // ours: first tokens, which stay; absent: likewise
  std::filesystem::path init;             // ours: an adapter of KVzap's scores to start from
  double init_scale = 4.0;                // ours: of those scores, as logits
  KlDirection kl = KlDirection::reverse;  // ours
  bool kl_sum = false;                    // ours, `kl_reduction: sum`: over tokens instead of mean
  bool single_noise = false;              // ours, `noise: single`: one Gumbel sample, else a pair
  bool soft_fraction = false;  // ours, `fraction: soft`: sigmoid(z), else straight-through
  int64_t fade_steps = 0;      // ours, neuron: steps over which the borrowed channel fades to zero;
                               // the schedules of CR and tau begin when they are over
  bool zero_after_rope = true;  // ours, neuron: zero the channel after RoPE too (false: FastDMS)
  std::vector<std::string> train{"adapter"};  // ours: {"adapter"}, {"all"} (what neuron defaults
                                              // to), or patterns of weight names in which * stands
                                              // for anything; among them "adapter" may stand
};

/// data.datasets: NAME: where a dataset's records are and which of their fields are used.
struct DatasetSection {
  std::string name;
  DatasetKind kind = DatasetKind::text;
  std::vector<std::filesystem::path> paths;  // as written: files, folders or globs
  // Fields are paths into a record (train/data/fields.h): text, meta.title, generations[correct].
  std::string field;           // text: of the text ("text"); conversation: of the list of messages
                               // ("conversation"), empty where the two below are given
  std::string prompt_field;    // conversation: of the user's message
  std::string response_field;  // … and of the assistant's
  std::string filter;          // which records are kept (train/data/filter.h); empty: all
  std::string split;           // "train" | "valid", with valid_fraction; empty: all
  double valid_fraction = 0.0;
  std::optional<Json> generator;  // settings of a generated dataset (recall, copy); then no paths
};

struct BlendPart {
  std::string dataset;
  double weight = 1.0;
};

struct DataSection {
  std::vector<BlendPart> blend;
  int64_t train_samples = 0;  // 0 (ours): as many as the steps need
  int64_t max_length = 32768;
  bool concat_always_start_new = true;
  int64_t process_vocab_using_chunk = 4096;
  Json tokenizer_kwargs = Json::object();
  std::map<std::string, DatasetSection> datasets;  // ours
  LossOn loss_on = LossOn::all;                    // ours
  bool add_eos = true;                             // ours: end-of-text after each text document
  std::filesystem::path cache_dir;                 // ours; empty: output_dir/data
};

struct TrainerSection {
  std::filesystem::path output_dir;
  int64_t max_steps = 544;
  int64_t batch_size = 1;          // per_device_train_batch_size
  int64_t accumulation_steps = 1;  // gradient_accumulation_steps
  double learning_rate = 3e-5;
  double weight_decay = 0.0;
  int64_t warmup_steps = 0;
  int64_t decay_steps = 0;    // lr_scheduler_kwargs.num_decay_steps, for warmup_stable_decay
  double min_lr_ratio = 0.0;  // lr_scheduler_kwargs.min_lr_ratio
  LrSchedule schedule = LrSchedule::constant;
  OptimizerKind optimizer = OptimizerKind::adamw;  // optim: adamw_torch | adamw | muon
  double muon_learning_rate = 0.02;  // ours: of matrices; the rest uses learning_rate and AdamW
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.95;
  double adam_epsilon = 1e-8;
  double max_grad_norm = 1.0;           // 0: no clipping
  int64_t save_steps = 500;             // 0 (save_strategy: no): at the end only
  int64_t save_total_limit = 0;         // 0: keep all
  int64_t logging_steps = 1;            // 0 (logging_strategy: no): metrics.jsonl only
  bool gradient_checkpointing = false;  // also by fsdp_config.activation_checkpointing
  bool bf16 = true;
  uint64_t seed = 42;
  std::string resume;              // resume_from_checkpoint: "" | "auto" | PATH
  std::string device = "auto";     // ours: auto | cpu | cuda | cuda:N
  bool offload_optimizer = false;  // ours: gradient sums, masters and moments in host memory
  int64_t threads = 0;             // ours; 0: all
};

struct TrainConfig {
  Objective objective = Objective::dms;
  ModelSection model;
  DmsSection dms;
  DataSection data;
  TrainerSection trainer;
  std::string source;              // the YAML as read, or, where there are overrides, written anew
                                   // with them: reading it again gives the same configuration
  std::vector<std::string> notes;  // keys that were accepted and have no meaning here
};

/// Reads and validates a YAML file. `overrides` are "section.key=value" (--set), value in YAML.
/// Throws InputError naming file, key, got and expected; a misspelt key is answered with the right
/// one.
TrainConfig load_train_config(const std::filesystem::path& file,
                              const std::vector<std::string>& overrides);

/// The same from memory; `where` names it in errors.
TrainConfig parse_train_config(const std::string& yaml,
                               const std::string& where,
                               const std::vector<std::string>& overrides);

}  // namespace dms::train
