#include "train/student_source.h"

#include <algorithm>
#include <string>
#include <vector>

#include "dms/error.h"
#include "model/spec/adapter.h"
#include "model/spec/load.h"
#include "model/spec/safetensors.h"
#include "train/calibrated_start.h"
#include "train/patterns.h"
#include "train/trainable.h"

namespace dms::train {
namespace {

/// An adapter's weights before training.
class FreshAdapter final : public WeightSource {
 public:
  void read_rows(const WeightName& weight, int64_t, int64_t, std::span<float> out) const override {
    std::ranges::fill(out, weight.role == WeightRole::dms_alpha_norm ? 1.0f : 0.0f);
  }
};

class Trained final : public WeightSource {
 public:
  Trained(std::unique_ptr<WeightSource> base, const CheckpointFolder& checkpoint)
      : base_(std::move(base)) {
    for (int64_t rank = 0; rank < checkpoint.manifest.world_size; ++rank) {
      files_.emplace_back(checkpoint.file(rank_file("weights", rank)));
    }
  }

  void read_rows(const WeightName& weight,
                 int64_t first,
                 int64_t count,
                 std::span<float> out) const override {
    for (const SafetensorsFile& file : files_) {
      const auto it = file.tensors().find(weight.name);
      if (it == file.tensors().end()) continue;
      if (it->second.dtype != "F32" || it->second.shape != weight.shape) {
        throw InputError({.where = file.path().string() + ": tensor " + weight.name,
                          .what = "has another type or shape than the model",
                          .hint = "is the checkpoint of another model?"});
      }
      const int64_t begin = first * weight.shape.back() * 4;
      return file.read(it->second, begin, std::as_writable_bytes(out));
    }
    base_->read_rows(weight, first, count, out);
  }

 private:
  std::unique_ptr<WeightSource> base_;
  std::vector<SafetensorsFile> files_;
};

}  // namespace

ModelSpec student_spec(const TrainConfig& config) {
  ModelSpec spec = load_spec(config.model.name, MetadataScope::with_parent);
  require_trainable(spec);
  const DmsSection& dms = config.dms;
  bool has_bias = spec.dms && spec.dms->alpha_bias;
  int64_t sinks = spec.dms ? spec.dms->sinks : 0;
  if (!dms.init.empty()) {
    sinks = start_settings(spec, dms.init).sinks;
    has_bias = true;
  }
  spec.dms.reset();
  if (config.objective == Objective::lm) return spec;
  if (has_bias && dms.separate_alpha && dms.alpha_bias == false) {
    throw InputError({.where = config.model.name.string(),
                      .what = "the trained adapter has a bias, which dms.alpha_bias would drop",
                      .got = "dms.alpha_bias: false",
                      .expected = "true, or none to take what the model has"});
  }
  spec.dms = DmsSpec{.source = dms.separate_alpha ? DmsSource::adapter : DmsSource::neuron,
                     .decision_shift = dms.decision_shift,
                     .zero_after_rope = dms.zero_after_rope,
                     .per_layer = dms.per_layer,
                     .disable_eviction = dms.disable_eviction,
                     .window = dms.window_size,
                     .alpha_scale = dms.alpha_scale,
                     .alpha_offset = dms.initial_alpha_offset,
                     .alpha_bias = dms.alpha_bias.value_or(has_bias),
                     .sinks = dms.n_sink.value_or(sinks),
                     .target_cr = dms.final_cr};
  return spec;
}

TrainConfig past_start(const TrainConfig& config, const TrainState& state) {
  if (config.dms.init.empty() || !state.sinks) return config;
  TrainConfig past = config;
  past.dms.init.clear();
  past.dms.alpha_bias = true;
  if (!past.dms.n_sink) past.dms.n_sink = state.sinks;
  const std::vector<std::string> patterns = trained_patterns(past);
  const bool holds_adapter =
      std::ranges::all_of(weight_names(student_spec(past)), [&](const WeightName& weight) {
        return !is_adapter(weight.role) || is_trained(weight, patterns);
      });
  return holds_adapter ? past : config;
}

std::vector<std::string> trained_patterns(const TrainConfig& config) {
  return config.objective == Objective::lm ? std::vector<std::string>{"all"} : config.dms.train;
}

bool computes_in_bf16(const TrainConfig& config, DType weights) {
  return config.trainer.bf16 || weights == DType::bf16;
}

bool needs_own_teacher(const TrainConfig& config, const ModelSpec& spec) {
  if (config.objective == Objective::lm) return false;
  const ModelSection& model = config.model;
  if (computes_in_bf16(config, model.dtype) != computes_in_bf16(config, model.teacher_dtype)) {
    return true;
  }
  if (!config.model.teacher.empty() && config.model.teacher != config.model.name) return true;
  const std::vector<std::string> patterns = trained_patterns(config);
  return std::ranges::any_of(weight_names(spec), [&](const WeightName& weight) {
    return !is_adapter(weight.role) && is_trained(weight, patterns);
  });
}

std::unique_ptr<WeightSource> open_base(const TrainConfig& config, const ModelSpec& spec) {
  const bool wants_adapter = spec.dms && spec.dms->source == DmsSource::adapter;
  if (config.model.from_scratch) return random_weights(spec, config.trainer.seed);
  const ModelSpec found = load_spec(config.model.name, MetadataScope::with_parent);
  const bool has_adapter = found.dms && found.dms->source == DmsSource::adapter;
  const DmsSection& dms = config.dms;
  if (!dms.init.empty()) {
    return calibrated_start(config.model.name, dms.init, spec, dms.init_scale);
  }
  if (has_adapter || !wants_adapter) return open_checkpoint(config.model.name, spec);
  ModelSpec plain = spec;
  plain.dms.reset();
  return layer_weights(open_checkpoint(config.model.name, plain), std::make_unique<FreshAdapter>());
}

std::unique_ptr<WeightSource> open_trained(const TrainConfig& config,
                                           const ModelSpec& spec,
                                           const CheckpointFolder& checkpoint) {
  return std::make_unique<Trained>(open_base(config, spec), checkpoint);
}

}  // namespace dms::train
