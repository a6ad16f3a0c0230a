#include "train/extract.h"

#include "train/checkpoint/train_state.h"
#include "train/export/adapter_folder.h"
#include "train/export/student_folder.h"
#include "train/schedule.h"
#include "train/student_source.h"

namespace dms::train {

std::vector<std::string> extract(const TrainConfig& config,
                                 const CheckpointFolder& checkpoint,
                                 const std::filesystem::path& out,
                                 ExtractWhat what) {
  ModelSpec spec = student_spec(config);
  const TrainState state = read_train_state(checkpoint.file(kTrainStateFile));
  // A checkpoint on the way is a student of the ratio the schedule had reached.
  if (spec.dms) spec.dms->target_cr = compression_ratio(config, state.step);
  const std::unique_ptr<WeightSource> source = open_trained(config, spec, checkpoint);
  if (what == ExtractWhat::adapter) {
    write_adapter_folder(out, spec, config.dms.tau, *source);
    return {};
  }
  return write_student_folder(
      config.model.name, out, {.dms = spec.dms, .tau = config.dms.tau}, *source);
}

}  // namespace dms::train
