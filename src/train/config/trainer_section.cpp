#include <algorithm>
#include <array>
#include <cmath>

#include "train/config/sections.h"
#include "yaml/scalar.h"

namespace dms::train::config {
namespace {

constexpr int64_t kMaxSteps = int64_t{1} << 27;
constexpr int64_t kMaxBatch = int64_t{1} << 16;

// Names of transformers.TrainingArguments that change nothing here.
constexpr auto kIgnored =
    std::to_array<std::string_view>({"ddp_*",
                                     "dataloader_*",
                                     "data_seed",
                                     "deepspeed",
                                     "disable_tqdm",
                                     "do_*",
                                     "eval_*",
                                     "evaluation_strategy",
                                     "fp16_*",
                                     "bf16_full_eval",
                                     "fsdp",
                                     "fsdp_min_num_params",
                                     "fsdp_transformer_layer_cls_to_wrap",
                                     "full_determinism",
                                     "gradient_checkpointing_kwargs",
                                     "greater_is_better",
                                     "group_by_length",
                                     "half_precision_backend",
                                     "hub_*",
                                     "ignore_data_skip",
                                     "include_*",
                                     "jit_mode_eval",
                                     "label_names",
                                     "length_column_name",
                                     "load_best_model_at_end",
                                     "local_rank",
                                     "log_level*",
                                     "log_on_each_node",
                                     "logging_dir",
                                     "logging_first_step",
                                     "logging_nan_inf_filter",
                                     "metric_for_best_model",
                                     "optim_args",
                                     "overwrite_output_dir",
                                     "past_index",
                                     "per_device_eval_batch_size",
                                     "prediction_loss_only",
                                     "project",
                                     "push_to_hub*",
                                     "ray_scope",
                                     "remove_unused_columns",
                                     "report_to",
                                     "restore_callback_states_from_checkpoint",
                                     "run_name",
                                     "save_on_each_node",
                                     "save_only_model",
                                     "save_safetensors",
                                     "skip_memory_metrics",
                                     "tf32",
                                     "torch_*",
                                     "tpu_*",
                                     "trackio_*",
                                     "use_legacy_prediction_loop",
                                     "use_liger_kernel"});

void read_steps(yaml::Fields& fields, TrainerSection& trainer) {
  fields.path("output_dir", trainer.output_dir);
  fields.integer("max_steps", trainer.max_steps, {1, kMaxSteps});
  fields.integer("per_device_train_batch_size", trainer.batch_size, {1, kMaxBatch});
  fields.integer("gradient_accumulation_steps", trainer.accumulation_steps, {1, kMaxBatch});
}

void read_optimizer(yaml::Fields& fields, TrainerSection& trainer) {
  fields.choice("optim",
                trainer.optimizer,
                {{"adamw", OptimizerKind::adamw},
                 {"adamw_torch", OptimizerKind::adamw},
                 {"adamw_torch_fused", OptimizerKind::adamw},
                 {"muon", OptimizerKind::muon}});
  fields.number("learning_rate", trainer.learning_rate, {0.0, 10.0});
  fields.number("muon_learning_rate", trainer.muon_learning_rate, {0.0, 10.0});
  fields.number("weight_decay", trainer.weight_decay, {0.0, 10.0});
  fields.number("adam_beta1", trainer.adam_beta1, {0.0, 0.999999});
  fields.number("adam_beta2", trainer.adam_beta2, {0.0, 0.999999});
  fields.number("adam_epsilon", trainer.adam_epsilon, {1e-30, 1.0});
  fields.number("max_grad_norm", trainer.max_grad_norm, {0.0, 1e9});
}

void read_schedule(yaml::Fields& fields, TrainerSection& trainer) {
  enum class Name { constant, constant_with_warmup, linear, cosine, warmup_stable_decay };
  Name name = Name::constant;
  fields.choice("lr_scheduler_type",
                name,
                {{"constant", Name::constant},
                 {"constant_with_warmup", Name::constant_with_warmup},
                 {"linear", Name::linear},
                 {"cosine", Name::cosine},
                 {"cosine_with_min_lr", Name::cosine},
                 {"warmup_stable_decay", Name::warmup_stable_decay}});
  switch (name) {
    case Name::constant:
    case Name::constant_with_warmup:
      trainer.schedule = LrSchedule::constant;
      break;
    case Name::linear:
      trainer.schedule = LrSchedule::linear;
      break;
    case Name::cosine:
      trainer.schedule = LrSchedule::cosine;
      break;
    case Name::warmup_stable_decay:
      trainer.schedule = LrSchedule::warmup_stable_decay;
      break;
  }
}

void read_warmup(yaml::Fields& fields, TrainerSection& trainer, std::vector<std::string>& notes) {
  double ratio = 0;
  fields.number("warmup_ratio", ratio, {0.0, 1.0});
  fields.integer("warmup_steps", trainer.warmup_steps, {0, kMaxSteps});
  if (trainer.warmup_steps == 0) {
    trainer.warmup_steps =
        static_cast<int64_t>(std::ceil(ratio * static_cast<double>(trainer.max_steps)));
  }
  const yaml::Node* const type = fields.find("lr_scheduler_type");
  const bool is_constant = type == nullptr || type->text == "constant";
  if (is_constant && trainer.warmup_steps > 0) {
    trainer.warmup_steps = 0;
    notes.push_back(
        "hf_trainer.warmup_steps: lr_scheduler_type constant has no warm-up, as in "
        "transformers; constant_with_warmup has one");
  }
}

void read_schedule_kwargs(yaml::Fields& fields, TrainerSection& trainer) {
  yaml::Fields kwargs = fields.section("lr_scheduler_kwargs");
  kwargs.integer("num_decay_steps", trainer.decay_steps, {1, kMaxSteps});
  kwargs.number("min_lr_ratio", trainer.min_lr_ratio, {0.0, 1.0});
  kwargs.number("min_lr_rate", trainer.min_lr_ratio, {0.0, 1.0});  // cosine_with_min_lr's name
  kwargs.finish();
  const bool decays_last = trainer.schedule == LrSchedule::warmup_stable_decay;
  if (kwargs.has("num_decay_steps") && !decays_last) {
    kwargs.refuse("num_decay_steps", "only for warmup_stable_decay", "that lr_scheduler_type");
  }
  if (decays_last && trainer.decay_steps == 0) {
    kwargs.refuse("num_decay_steps", "missing for warmup_stable_decay", "an integer, 1 or more");
  }
  for (const char* key : {"min_lr_ratio", "min_lr_rate"}) {
    if (kwargs.has(key) && trainer.schedule == LrSchedule::constant) {
      kwargs.refuse(key, "a constant learning rate has no minimum", "another lr_scheduler_type");
    }
  }
  if (decays_last && trainer.warmup_steps + trainer.decay_steps > trainer.max_steps) {
    kwargs.refuse("num_decay_steps",
                  "warm-up and decay are longer than the run",
                  "at most max_steps - warmup_steps = " +
                      std::to_string(trainer.max_steps - trainer.warmup_steps));
  }
}

void read_saving(yaml::Fields& fields, TrainerSection& trainer) {
  bool saves = true;
  bool logs = true;
  fields.choice("save_strategy", saves, {{"steps", true}, {"no", false}});
  fields.choice("logging_strategy", logs, {{"steps", true}, {"no", false}});
  fields.integer("save_steps", trainer.save_steps, {1, kMaxSteps});
  fields.integer("save_total_limit", trainer.save_total_limit, {0, kMaxSteps});
  fields.integer("logging_steps", trainer.logging_steps, {1, kMaxSteps});
  if (!saves) trainer.save_steps = 0;
  if (!logs) trainer.logging_steps = 0;
}

/// transformers also takes `true`, for the latest checkpoint.
void read_resume(yaml::Fields& fields, TrainerSection& trainer) {
  const yaml::Node* const value = fields.find("resume_from_checkpoint");
  if (value == nullptr) return;
  if (value->is_quoted || (value->text != "true" && value->text != "false")) {
    fields.text("resume_from_checkpoint", trainer.resume);
  } else if (value->text == "true") {
    trainer.resume = "auto";
  }
}

bool is_device(const std::string& name) {
  if (name == "auto" || name == "cpu" || name == "cuda") return true;
  constexpr std::string_view prefix = "cuda:";
  const bool has_index =
      name.starts_with(prefix) && name.size() > prefix.size() && name.size() <= prefix.size() + 2;
  return has_index && std::ranges::all_of(name.substr(prefix.size()),
                                          [](char c) { return c >= '0' && c <= '9'; });
}

/// FSDP has a switch of its own for it, which NVIDIA's files set instead of the trainer's.
void read_checkpointing(yaml::Fields& fields,
                        TrainerSection& trainer,
                        std::vector<std::string>& notes) {
  fields.boolean("gradient_checkpointing", trainer.gradient_checkpointing);
  const yaml::Node* const fsdp = fields.find("fsdp_config");
  if (fsdp == nullptr) return;
  const yaml::Node* const flag = fsdp->find("activation_checkpointing");
  const bool is_on = flag != nullptr && yaml::as_boolean(*flag).value_or(false);
  if (is_on) trainer.gradient_checkpointing = true;
  notes.push_back(is_on ? "hf_trainer.fsdp_config: activation_checkpointing turns "
                          "gradient_checkpointing on, the rest is ignored"
                        : "hf_trainer.fsdp_config has no meaning here and is ignored");
}

void read_machine(yaml::Fields& fields, TrainerSection& trainer) {
  bool use_cpu = false;
  bool fp16 = false;
  int64_t seed = 42;
  fields.boolean("bf16", trainer.bf16);
  fields.boolean("fp16", fp16);
  fields.boolean("use_cpu", use_cpu);
  fields.boolean("no_cuda", use_cpu);
  fields.integer("seed", seed, {0, std::numeric_limits<int64_t>::max()});
  fields.text("device", trainer.device);
  fields.boolean("offload_optimizer", trainer.offload_optimizer);
  fields.integer("threads", trainer.threads, {0, 1024});
  trainer.seed = static_cast<uint64_t>(seed);
  if (fp16) fields.refuse("fp16", "not offered", "bf16: true");
  if (!is_device(trainer.device)) fields.refuse("device", "bad value", "auto, cpu, cuda or cuda:N");
  if (use_cpu && trainer.device.starts_with("cuda")) {
    fields.refuse("device", "contradicts use_cpu: true", "cpu");
  }
  if (use_cpu) trainer.device = "cpu";
}

/// Its epochs would decide the length of the run where max_steps does not.
void check_epochs(yaml::Fields& fields, std::vector<std::string>& notes) {
  if (!fields.has("num_train_epochs")) return;
  if (!fields.has("max_steps")) {
    fields.refuse("num_train_epochs", "runs are counted in steps", "max_steps");
  }
  notes.push_back("hf_trainer.num_train_epochs is ignored: max_steps is given");
}

}  // namespace

void read_trainer_section(yaml::Fields fields, TrainConfig& config) {
  TrainerSection& trainer = config.trainer;
  read_steps(fields, trainer);
  read_optimizer(fields, trainer);
  read_schedule(fields, trainer);
  read_warmup(fields, trainer, config.notes);
  read_schedule_kwargs(fields, trainer);
  read_saving(fields, trainer);
  read_resume(fields, trainer);
  read_checkpointing(fields, trainer, config.notes);
  read_machine(fields, trainer);
  check_epochs(fields, config.notes);
  fields.ignore(kIgnored, config.notes);
  fields.finish();
  if (trainer.output_dir.empty()) fields.refuse("output_dir", "missing", "a folder");
  if (trainer.warmup_steps > trainer.max_steps) {
    fields.refuse(
        "warmup_steps", "more than max_steps", "at most " + std::to_string(trainer.max_steps));
  }
}

}  // namespace dms::train::config
