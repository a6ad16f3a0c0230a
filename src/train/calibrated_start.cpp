#include "train/calibrated_start.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "dms/error.h"
#include "model/spec/adapter.h"
#include "model/spec/load.h"

namespace dms::train {
namespace {

/// raw = A x / |x| + a, where the layer's own norm is part of A = -scale / alpha_scale * W
/// diag(norm), so that alpha_scale * raw - alpha_offset = scale * (threshold - W norm(x) - b). The
/// adapter's norm stays at one, as a fresh one's: with the layer's small weights there, steps of
/// one learning rate would be many times smaller.
class ScoresAsDecisions final : public WeightSource {
 public:
  ScoresAsDecisions(std::unique_ptr<WeightSource> base,
                    std::unique_ptr<WeightSource> scores,
                    const ModelSpec& scored,
                    const DmsSpec& dms,
                    double scale)
      : base_(std::move(base)),
        scores_(std::move(scores)),
        names_(weight_names(scored)),
        hidden_(static_cast<size_t>(scored.hidden)),
        norm_offset_(scored.norm_offset),
        factor_(-scale / dms.alpha_scale),
        bias_((scale * scored.kvzap->threshold + dms.alpha_offset) / dms.alpha_scale) {}

  void read_rows(const WeightName& weight,
                 int64_t first,
                 int64_t count,
                 std::span<float> out) const override {
    if (weight.role == WeightRole::dms_alpha_norm) {
      std::ranges::fill(out, 1.0f);
    } else if (weight.role == WeightRole::dms_alpha_bias) {
      read(*scores_, WeightRole::kvzap_bias, weight.layer, first, count, out);
      for (float& value : out) value = static_cast<float>(factor_ * value + bias_);
    } else {
      std::vector<float> norm(hidden_);
      read(*base_, WeightRole::attention_norm, weight.layer, 0, 1, norm);
      read(*scores_, WeightRole::kvzap, weight.layer, first, count, out);
      for (size_t i = 0; i < out.size(); ++i) {
        out[i] = static_cast<float>(factor_ * out[i] * (norm[i % hidden_] + norm_offset_));
      }
    }
  }

 private:
  void read(const WeightSource& source,
            WeightRole role,
            int64_t layer,
            int64_t first,
            int64_t count,
            std::span<float> out) const {
    const auto it = std::ranges::find_if(
        names_, [&](const WeightName& name) { return name.role == role && name.layer == layer; });
    ensure(it != names_.end(), "a weight of the scores");
    source.read_rows(*it, first, count, out);
  }

  std::unique_ptr<WeightSource> base_;
  std::unique_ptr<WeightSource> scores_;
  std::vector<WeightName> names_;
  size_t hidden_;
  double norm_offset_;
  double factor_;
  double bias_;
};

}  // namespace

KvzapSpec start_settings(const ModelSpec& base, const std::filesystem::path& scores) {
  ModelSpec scored = base;
  apply_adapter(scores, scored);
  const std::string file = (scores / kAdapterConfigFile).string();
  if (!scored.kvzap) {
    throw InputError({.where = file,
                      .what = "is no adapter of KVzap's scores",
                      .expected = "what dms calibrate kvzap writes"});
  }
  if (scored.kvzap->hidden > 0) {
    throw InputError({.where = file + ": kvzap_hidden_size",
                      .what = "a trained adapter has no hidden layer to start from it",
                      .got = std::to_string(scored.kvzap->hidden),
                      .expected = "0, linear scores"});
  }
  if (base.norm != NormKind::rms) {
    throw InputError({.where = "dms.init: model_type " + base.model_type,
                      .what = "an adapter cannot start from scores of what it does not read",
                      .got = "LayerNorm",
                      .expected = "an RMS norm before attention",
                      .hint = "train without dms.init"});
  }
  return *scored.kvzap;
}

std::unique_ptr<WeightSource> calibrated_start(const std::filesystem::path& base,
                                               const std::filesystem::path& scores,
                                               const ModelSpec& spec,
                                               double scale) {
  ModelSpec plain = spec;
  plain.dms.reset();
  ModelSpec scored = plain;
  scored.kvzap = start_settings(plain, scores);
  auto start = std::make_unique<ScoresAsDecisions>(
      open_checkpoint(base, plain), open_adapter(scores, scored), scored, *spec.dms, scale);
  return layer_weights(open_checkpoint(base, plain), std::move(start));
}

}  // namespace dms::train
