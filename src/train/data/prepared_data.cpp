// prepare_data (declared in batches.h): the datasets' stages, blended.

#include <algorithm>
#include <utility>

#include "dms/error.h"
#include "train/data/batches.h"
#include "train/data/blend.h"
#include "train/data/dataset_stages.h"

namespace dms::train {
namespace {

// Of the blend's order where train_samples leaves it open: long enough for shares of a thousandth,
// short enough not to matter in memory. The order is endless in any case.
constexpr int64_t kShortestPass = 4096;
constexpr int64_t kLongestPass = int64_t{1} << 20;
constexpr int64_t kMaxLength = int64_t{1} << 24;

class BlendedData final : public PreparedData {
 public:
  BlendedData(data::Blend blend,
              std::vector<std::unique_ptr<const data::SampleIndex>> indices,
              std::vector<int32_t> end_tokens,
              std::vector<DatasetReport> report,
              std::vector<std::string> notes)
      : blend_(std::move(blend)),
        indices_(std::move(indices)),
        end_tokens_(std::move(end_tokens)),
        report_(std::move(report)),
        notes_(std::move(notes)) {}

  int64_t size() const override { return blend_.size(); }
  Sample sample(int64_t index) const override {
    const data::Blend::Pick pick = blend_.pick(index);
    const data::SampleIndex& dataset = *indices_[static_cast<size_t>(pick.dataset)];
    return dataset.sample(pick.turn % dataset.samples());
  }
  const std::vector<int32_t>& end_tokens() const override { return end_tokens_; }
  const std::vector<DatasetReport>& report() const override { return report_; }
  const std::vector<std::string>& notes() const override { return notes_; }

 private:
  data::Blend blend_;
  std::vector<std::unique_ptr<const data::SampleIndex>> indices_;
  std::vector<int32_t> end_tokens_;
  std::vector<DatasetReport> report_;
  std::vector<std::string> notes_;
};

void require(bool valid, const char* where, const std::string& got, const char* expected) {
  if (valid) return;
  throw InputError({.where = where, .what = "bad value", .got = got, .expected = expected});
}

void check(const TrainConfig& config) {
  const DataSection& data = config.data;
  require(!data.blend.empty(), "data.blend", "nothing", "like books:0.8,recall:0.2");
  for (const BlendPart& part : data.blend) {
    require(part.weight > 0.0 && part.weight < 1e9,
            "data.blend",
            part.dataset + ":" + std::to_string(part.weight),
            "weights above 0");
  }
  require(data.max_length >= 2 && data.max_length <= kMaxLength,
          "data.max_length",
          std::to_string(data.max_length),
          "2 to 16777216");
  require(data.train_samples >= 0 && data.train_samples <= data::Blend::kMaxSamples,
          "data.train_samples",
          std::to_string(data.train_samples),
          "0 (as many as the steps need) to 67108864");
}

std::filesystem::path cache_root(const TrainConfig& config) {
  if (!config.data.cache_dir.empty()) return config.data.cache_dir;
  require(!config.trainer.output_dir.empty(),
          "data.cache_dir",
          "nothing",
          "a folder, here or in hf_trainer.output_dir");
  return config.trainer.output_dir / "data";
}

data::Blend make_blend(const TrainConfig& config) {
  std::vector<double> weights;
  for (const BlendPart& part : config.data.blend) weights.push_back(part.weight);
  const TrainerSection& trainer = config.trainer;
  const double steps_need = static_cast<double>(trainer.max_steps) *
                            static_cast<double>(trainer.batch_size) *
                            static_cast<double>(trainer.accumulation_steps);
  const auto open_end = static_cast<int64_t>(std::clamp(
      steps_need, static_cast<double>(kShortestPass), static_cast<double>(kLongestPass)));
  const int64_t samples = config.data.train_samples > 0 ? config.data.train_samples : open_end;
  data::Blend blend(weights, samples, trainer.seed);
  require(blend.size() > 0,
          "data.train_samples",
          std::to_string(samples),
          "enough for one sample of a dataset by its weight");
  return blend;
}

std::string percent(int64_t part, int64_t whole) {
  return std::to_string(100 * part / std::max<int64_t>(whole, 1)) + "%";
}

void note_oddities(const DatasetReport& report, std::vector<std::string>& notes) {
  if (report.tokens_cut > report.tokens / 4) {
    notes.push_back("dataset " + report.name + ": " + percent(report.tokens_cut, report.tokens) +
                    " of its tokens are cut off by max_length; concat_always_start_new: false "
                    "carries them into the next sample");
  }
  if (report.blend_samples == 0) {
    notes.push_back("dataset " + report.name +
                    ": its weight gives it no sample; raise it or data.train_samples");
  }
}

}  // namespace

std::unique_ptr<PreparedData> prepare_data(const TrainConfig& config,
                                           const DataProgress& progress) {
  check(config);
  data::Blend blend = make_blend(config);
  const data::ModelText model = data::load_model_text(config.model.name);
  data::StageCache cache(cache_root(config), progress);
  data::DatasetStages stages(config, model, cache, progress);
  double weights = 0.0;
  for (const BlendPart& part : config.data.blend) weights += part.weight;
  std::vector<std::unique_ptr<const data::SampleIndex>> indices;
  std::vector<DatasetReport> reports;
  std::vector<std::string> notes;
  for (const BlendPart& part : config.data.blend) {
    data::SampleStage samples = stages.samples(part.dataset);
    samples.report.weight = part.weight / weights;
    samples.report.blend_samples = blend.samples_of(std::ssize(indices));
    note_oddities(samples.report, notes);
    reports.push_back(std::move(samples.report));
    indices.push_back(std::move(samples.index));
  }
  notes.insert(notes.begin(), cache.notes().begin(), cache.notes().end());
  return std::make_unique<BlendedData>(
      std::move(blend), std::move(indices), model.end_tokens, std::move(reports), std::move(notes));
}

}  // namespace dms::train
