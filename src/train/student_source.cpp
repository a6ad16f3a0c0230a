#include "train/student_source.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "dms/error.h"
#include "model/spec/load.h"
#include "model/spec/safetensors.h"

namespace dms::train {
namespace {

class FreshAdapter final : public WeightSource {
 public:
  explicit FreshAdapter(std::unique_ptr<WeightSource> base) : base_(std::move(base)) {}

  void read_rows(const WeightName& weight,
                 int64_t first,
                 int64_t count,
                 std::span<float> out) const override {
    if (!is_adapter(weight.role)) return base_->read_rows(weight, first, count, out);
    std::ranges::fill(out, weight.role == WeightRole::dms_alpha_norm ? 1.0f : 0.0f);
  }

  void release(const WeightName& weight) const override {
    if (!is_adapter(weight.role)) base_->release(weight);
  }

 private:
  std::unique_ptr<WeightSource> base_;
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
      const auto begin = static_cast<size_t>(first * weight.shape.back()) * sizeof(float);
      std::memcpy(out.data(), file.bytes(it->second).data() + begin, out.size_bytes());
      return;
    }
    base_->read_rows(weight, first, count, out);
  }

  void release(const WeightName& weight) const override { base_->release(weight); }

 private:
  std::unique_ptr<WeightSource> base_;
  std::vector<SafetensorsFile> files_;
};

}  // namespace

ModelSpec student_spec(const TrainConfig& config) {
  ModelSpec spec = load_spec(config.model.name, MetadataScope::local);
  spec.dms.reset();
  if (config.objective == Objective::lm) return spec;
  const DmsSection& dms = config.dms;
  spec.dms = DmsSpec{.source = dms.separate_alpha ? DmsSource::adapter : DmsSource::neuron,
                     .decision_shift = dms.decision_shift,
                     .zero_after_rope = dms.zero_after_rope,
                     .per_layer = dms.per_layer,
                     .disable_eviction = dms.disable_eviction,
                     .window = dms.window_size,
                     .alpha_scale = dms.alpha_scale,
                     .alpha_offset = dms.initial_alpha_offset,
                     .target_cr = dms.final_cr};
  return spec;
}

std::unique_ptr<WeightSource> open_base(const TrainConfig& config, const ModelSpec& spec) {
  const bool wants_adapter = spec.dms && spec.dms->source == DmsSource::adapter;
  if (config.model.from_scratch) return random_weights(spec, config.trainer.seed);
  const ModelSpec found = load_spec(config.model.name, MetadataScope::local);
  const bool has_adapter = found.dms && found.dms->source == DmsSource::adapter;
  if (has_adapter || !wants_adapter) return open_checkpoint(config.model.name, spec);
  ModelSpec plain = spec;
  plain.dms.reset();
  return std::make_unique<FreshAdapter>(open_checkpoint(config.model.name, plain));
}

std::unique_ptr<WeightSource> open_trained(const TrainConfig& config,
                                           const ModelSpec& spec,
                                           const CheckpointFolder& checkpoint) {
  return std::make_unique<Trained>(open_base(config, spec), checkpoint);
}

}  // namespace dms::train
