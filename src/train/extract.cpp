#include "train/extract.h"

#include <utility>

#include "model/spec/load.h"
#include "train/checkpoint/train_state.h"
#include "train/config/differences.h"
#include "train/export/adapter_folder.h"
#include "train/export/student_folder.h"
#include "train/schedule.h"
#include "train/student_source.h"

namespace dms::train {
namespace {

/// What the run itself made when it ended earlier.
bool is_runs_own(const std::filesystem::path& out, const TrainConfig& config) {
  return out == config.trainer.output_dir / kStudentFolder;
}

}  // namespace

std::vector<std::string> extract(const TrainConfig& asked,
                                 const CheckpointFolder& checkpoint,
                                 const std::filesystem::path& out,
                                 ExtractWhat what) {
  const TrainState state = read_train_state(checkpoint.file(kTrainStateFile));
  const TrainConfig config = past_start(asked, state);
  ModelSpec spec = student_spec(config);
  // A checkpoint on the way is a student of the ratio the schedule had reached.
  if (spec.dms) spec.dms->target_cr = compression_ratio(config, state.step);
  const std::unique_ptr<WeightSource> source = open_trained(config, spec, checkpoint);
  if (what == ExtractWhat::adapter) {
    write_adapter_folder(out, spec, config.dms.tau, *source);
    return {};
  }
  const bool drops_eviction =
      !spec.dms && load_spec(config.model.name, MetadataScope::with_parent).dms.has_value();
  std::vector<std::string> notes = write_student_folder(config.model.name,
                                                        out,
                                                        {.dms = spec.dms,
                                                         .plain = config.objective == Objective::lm,
                                                         .replaces_plain = is_runs_own(out, config),
                                                         .tau = config.dms.tau},
                                                        *source);
  if (drops_eviction) {
    notes.emplace_back(
        "the base's trained eviction is left out: its decisions were not trained along");
  }
  for (std::string& note : notes_since_checkpoint(state.config, config.source)) {
    notes.push_back(std::move(note));
  }
  return notes;
}

}  // namespace dms::train
