#include "train/run.h"

#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>

#include "base/file_status.h"
#include "base/output_file.h"
#include "dms/error.h"
#include "train/agreement.h"
#include "train/checkpoint/checkpoints.h"
#include "train/checkpoint/run_lock.h"
#include "train/checkpoint/train_state.h"
#include "train/data/progress_line.h"
#include "train/device.h"
#include "train/extract.h"
#include "train/launch.h"
#include "train/report/html_report.h"
#include "train/report/metrics.h"
#include "train/report/progress.h"
#include "train/student_source.h"
#include "train/torch.h"
#include "train/trainer.h"

namespace dms::train {
namespace {

constexpr const char* kMetricsFile = "metrics.jsonl";
constexpr const char* kReportFile = "report.html";

/// Rank 0 prepares what the others then find in the cache.
std::unique_ptr<PreparedData> prepare_on_all(const TrainConfig& config, Communicator& ranks) {
  std::unique_ptr<PreparedData> data;
  const bool leads = ranks.rank() == 0;
  all_or_none(ranks, [&] {
    if (leads) data = prepare_data(config, terminal_progress());
  });
  all_or_none(ranks, [&] {
    if (!leads) data = prepare_data(config, {});
  });
  return data;
}

std::optional<CheckpointFolder> find_resume(const TrainConfig& config) {
  const std::string& resume = config.trainer.resume;
  if (resume == "auto") return latest_checkpoint(config.trainer.output_dir);
  if (!resume.empty()) return open_checkpoint_folder(resume);
  const std::filesystem::path& folder = config.trainer.output_dir;
  for (const std::filesystem::path& entry : entries_of(folder)) {
    if (!checkpoint_step(entry.filename().string())) continue;
    throw InputError({.where = folder.string(),
                      .what = "holds checkpoints of an earlier run",
                      .got = entry.filename().string(),
                      .hint = "continue it with --resume auto, or choose another "
                              "hf_trainer.output_dir"});
  }
  return std::nullopt;
}

void keep_config(const TrainConfig& config) {
  const std::filesystem::path& folder = config.trainer.output_dir;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  write_text_file(folder / "config.yaml", config.source);
}

RunReport make_report(const TrainConfig& config, const Trainer& trainer, const Retention& kept) {
  const Parameters& parameters = trainer.student().parameters();
  RunReport report{.title = config.model.name.filename().string() +
                            (config.objective == Objective::dms ? ": learning what to forget"
                                                                : ": language modelling")};
  report.facts = {{"model", config.model.name.string()},
                  {"values trained", std::to_string(parameters.trained_count())},
                  {"steps", std::to_string(trainer.step())},
                  {"context", std::to_string(config.data.max_length)},
                  {"learning rate", std::to_string(config.trainer.learning_rate)}};
  if (config.objective == Objective::dms) {
    report.facts.emplace_back("window", std::to_string(config.dms.window_size));
    report.facts.emplace_back("final CR", std::to_string(config.dms.final_cr));
  }
  report.steps = read_metrics(config.trainer.output_dir / kMetricsFile);
  report.retention = kept;
  return report;
}

/// What rank 0 shows and keeps of a run.
class RunLog {
 public:
  RunLog(const TrainConfig& config, int64_t resumed_step)
      : metrics_(config.trainer.output_dir / kMetricsFile, resumed_step),
        progress_(config.trainer.max_steps, config.trainer.logging_steps) {}

  TrainerEvents events() {
    return {.on_step =
                [this](const StepMetrics& metrics, const Retention& kept) {
                  metrics_.write(metrics);
                  progress_.show(metrics);
                  kept_ = kept;
                },
            .on_save =
                [this](const std::filesystem::path& path) {
                  progress_.note("saved " + path.string());
                }};
  }

  void note(const std::string& text) { progress_.note(text); }
  const Retention& kept() const { return kept_; }

 private:
  MetricsLog metrics_;
  TrainProgress progress_;
  Retention kept_;
};

int finish(const TrainConfig& config, const Trainer& trainer, RunLog& log, TrainerEnd end) {
  const std::filesystem::path& folder = config.trainer.output_dir;
  write_report(folder / kReportFile, make_report(config, trainer, log.kept()));
  log.note("report " + (folder / kReportFile).string());
  if (end == TrainerEnd::interrupted) {
    log.note("stopped by a signal after step " + std::to_string(trainer.step()) +
             "; continue with --resume auto");
    return 1;
  }
  const std::filesystem::path student = folder / kStudentFolder;
  const std::optional<CheckpointFolder> newest = latest_checkpoint(folder);
  for (const std::string& note : extract(config, *newest, student, ExtractWhat::student)) {
    log.note("note: " + note);
  }
  log.note("student " + student.string());
  return 0;
}

}  // namespace

int run_training(const TrainConfig& asked) {
  TrainConfig config = asked;
  const Launch launch = find_launch();
  const at::Device device = choose_device(config.trainer.device, launch);
  const c10::DeviceGuard current(device);
  const std::unique_ptr<Communicator> ranks = make_communicator(launch, device);
  const bool leads = ranks->rank() == 0;
  if (config.trainer.threads > 0) at::set_num_threads(static_cast<int>(config.trainer.threads));
  std::optional<RunLock> lock;
  std::optional<CheckpointFolder> from;
  all_or_none(*ranks, [&] {
    if (leads) lock.emplace(config.trainer.output_dir);
    from = find_resume(config);
    if (from) config = past_start(config, read_train_state(from->file(kTrainStateFile)));
    student_spec(config);  // what cannot be trained is said before anything is prepared
    if (!leads) return;
    for (const std::string& note : config.notes) std::fprintf(stderr, "note: %s\n", note.c_str());
    keep_config(config);
  });
  const std::unique_ptr<PreparedData> data = prepare_on_all(config, *ranks);
  std::optional<Trainer> made;
  all_or_none(*ranks, [&] { made.emplace(config, *data, *ranks, device); });
  Trainer& trainer = *made;
  std::vector<std::string> resume_notes;
  if (from) resume_notes = trainer.resume(*from);
  std::optional<RunLog> opened;
  all_or_none(*ranks, [&] {
    if (leads) opened.emplace(config, trainer.step());
  });
  if (!leads) return trainer.run({}) == TrainerEnd::finished ? 0 : 1;
  RunLog& log = *opened;
  for (const std::string& note : trainer.student().spec().notes) log.note("note: " + note);
  for (const std::string& note : data->notes()) log.note("note: " + note);
  if (from) {
    for (const std::string& note : from->notes) log.note("note: " + note);
    for (const std::string& note : resume_notes) log.note("note: " + note);
    log.note("resumed from " + from->path.string());
  }
  const TrainerEnd end = trainer.run(log.events());
  return finish(config, trainer, log, end);
}

}  // namespace dms::train
