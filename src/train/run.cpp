#include "train/run.h"

#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>

#include "base/threads.h"
#include "dms/error.h"
#include "train/checkpoint/checkpoints.h"
#include "train/data/batches.h"
#include "train/extract.h"
#include "train/torch.h"
#include "train/trainer.h"

namespace dms::train {
namespace {

/// Rank 0 prepares what the others then find in the cache.
std::unique_ptr<PreparedData> prepare_on_all(const TrainConfig& config, Communicator& ranks) {
  std::unique_ptr<PreparedData> data;
  if (ranks.rank() == 0) data = prepare_data(config, {});
  ranks.barrier();
  if (ranks.rank() != 0) data = prepare_data(config, {});
  return data;
}

std::optional<CheckpointFolder> find_resume(const TrainConfig& config) {
  const std::string& resume = config.trainer.resume;
  if (resume.empty()) return std::nullopt;
  if (resume != "auto") return open_checkpoint_folder(resume);
  return latest_checkpoint(config.trainer.output_dir);
}

void keep_config(const TrainConfig& config) {
  std::filesystem::create_directories(config.trainer.output_dir);
  std::ofstream(config.trainer.output_dir / "config.yaml") << config.source;
}

}  // namespace

int run_training(const TrainConfig& config) {
  const std::unique_ptr<Communicator> ranks = make_communicator();
  if (config.trainer.threads > 0) at::set_num_threads(static_cast<int>(config.trainer.threads));
  if (ranks->rank() == 0) keep_config(config);
  const std::unique_ptr<PreparedData> data = prepare_on_all(config, *ranks);
  Trainer trainer(config, *data, *ranks);
  const std::optional<CheckpointFolder> from = find_resume(config);
  if (from) trainer.resume(*from);
  TrainerEvents events;
  events.on_step = [](const StepMetrics& m, const Retention&) {
    std::cerr << "step " << m.step << " loss " << m.loss << " kl " << m.kl.value_or(0) << " lm "
              << m.lm_loss << " cr " << m.cr.value_or(1) << "/" << m.target_cr.value_or(1)
              << " grad " << m.grad_norm << " tok/s " << m.tok_s << "\n";
  };
  const TrainerEnd end = trainer.run(events);
  if (end == TrainerEnd::interrupted) return 1;
  if (ranks->rank() == 0) {
    const auto newest = latest_checkpoint(config.trainer.output_dir);
    extract(config, *newest, config.trainer.output_dir / "student_model", ExtractWhat::student);
  }
  return 0;
}

}  // namespace dms::train
