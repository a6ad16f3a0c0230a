#include <algorithm>
#include <array>

#include "base/check.h"
#include "train/config/sections.h"

namespace dms::train::config {
namespace {

void check_objective(yaml::Fields& root, const TrainConfig& config) {
  yaml::Fields model = root.section("model");
  if (config.objective == Objective::dms) {
    if (config.model.from_scratch) {
      model.refuse("from_scratch", "random weights have nothing to distil", "objective: lm");
    }
    return;
  }
  if (const yaml::Node* const dms = root.find("dms"); dms != nullptr && !dms->children.empty()) {
    root.refuse("dms", "has no meaning under objective: lm", "no such section, or objective: dms");
  }
  for (const char* key : {"teacher_name", "teacher_dtype"}) {
    if (model.has(key)) model.refuse(key, "objective: lm has no teacher", "objective: dms");
  }
}

void note_schedule(TrainConfig& config) {
  const DmsSection& dms = config.dms;
  const int64_t max_steps = config.trainer.max_steps;
  if (dms.window_size >= config.data.max_length) {
    config.notes.push_back(
        "dms.window_size covers data.max_length: no token ever leaves the window");
  }
  if (dms.final_step.value_or(max_steps) > max_steps) {
    config.notes.push_back(
        "dms.final_step lies after hf_trainer.max_steps: the run ends before "
        "final_cr is reached");
  }
  if (dms.fade_steps >= max_steps) {
    config.notes.push_back("dms.fade_steps fill the run: the CR never rises");
  }
}

void check_loss_on(yaml::Fields& root, TrainConfig& config) {
  if (config.data.loss_on == LossOn::all) return;
  int64_t texts = 0;
  for (const BlendPart& part : config.data.blend) {
    texts += config.data.datasets.at(part.dataset).kind == DatasetKind::text ? 1 : 0;
  }
  if (texts == std::ssize(config.data.blend)) {
    root.section("data").refuse(
        "loss_on", "no dataset of the blend has an assistant", "all, or a dataset of messages");
  }
  if (texts > 0) {
    config.notes.push_back("data.loss_on: every token of datasets without messages counts");
  }
}

/// Blended, or the source of a generator.
bool is_used(const DataSection& data, const std::string& name) {
  const bool is_blended =
      std::ranges::find(data.blend, name, &BlendPart::dataset) != data.blend.end();
  return is_blended || std::ranges::any_of(data.datasets, [&](const auto& entry) {
           const std::optional<Json>& generator = entry.second.generator;
           return generator && generator->contains("source") && (*generator)["source"] == name;
         });
}

void note_unused_datasets(TrainConfig& config) {
  for (const auto& [name, dataset] : config.data.datasets) {
    if (is_used(config.data, name)) continue;
    config.notes.push_back("data.datasets." + name + " is not in data.blend");
  }
}

/// Sizes are multiplied later on: here is where a file's numbers are held to what int64 counts.
void check_total(yaml::Fields& root, const TrainConfig& config) {
  std::optional<int64_t> tokens = config.trainer.max_steps;
  for (const int64_t factor : std::array{
           config.trainer.batch_size, config.trainer.accumulation_steps, config.data.max_length}) {
    if (tokens) tokens = checked_mul(*tokens, factor);
  }
  if (!tokens) {
    root.section("hf_trainer")
        .refuse("max_steps", "the run has more tokens than can be counted", "");
  }
}

}  // namespace

void check_sections(yaml::Fields& root, TrainConfig& config) {
  check_objective(root, config);
  check_loss_on(root, config);
  check_total(root, config);
  if (config.objective == Objective::dms) note_schedule(config);
  note_unused_datasets(config);
}

}  // namespace dms::train::config
