#include "train/export/student_folder.h"

#include <system_error>

#include "base/check.h"
#include "base/json.h"
#include "base/output_file.h"
#include "base/output_folder.h"
#include "base/replaceable.h"
#include "dms/error.h"
#include "model/spec/companion_files.h"
#include "model/spec/dms_metadata.h"
#include "model/spec/load.h"
#include "train/export/dms_keys.h"
#include "train/export/student_config.h"
#include "train/export/weight_files.h"

namespace dms::train {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kConfigFile = "config.json";
constexpr std::string_view kFastDmsFile = "dms_metadata.json";
constexpr int64_t kMaxConfigBytes = int64_t{16} << 20;
constexpr int64_t kNvidiaBlockTokens = 256;

bool is_student_file(std::string_view name) {
  const bool is_weights = name.starts_with("model") && (name.ends_with(".safetensors") ||
                                                        name.ends_with(".safetensors.index.json"));
  return name == kConfigFile || name == kFastDmsFile || is_weights || is_companion(name);
}

/// A plain model in the way may be anybody's; one with trained eviction is a student.
void refuse_plain_model(const fs::path& out) {
  std::error_code error;
  if (!fs::exists(out / kConfigFile, error) || load_spec(out, MetadataScope::folder_only).dms)
    return;
  throw InputError({.where = out.string(),
                    .what = "exists and holds a model without trained eviction",
                    .expected = "a new or empty folder, or a student to replace",
                    .hint = "name another folder, or remove this one"});
}

/// Its settings would override those of every model in its folders.
void refuse_training_log(const fs::path& out) {
  const fs::path parent = out.parent_path();
  if (!has_training_log(parent)) return;
  throw InputError({.where = (parent / "training_log.json").string(),
                    .what = "would override the settings of a student written beside it",
                    .hint = "name an output folder elsewhere"});
}

std::vector<std::string> notes_for(const ModelSpec& spec) {
  if (!runs_in_nvidia_code(spec.model_type, spec.dms) || spec.dms->window > kNvidiaBlockTokens) {
    return {};
  }
  return {"dms_window_size " + std::to_string(spec.dms->window) +
          ": this engine runs it; NVIDIA's code needs a window above its block of " +
          std::to_string(kNvidiaBlockTokens) + " tokens"};
}

void write_settings(const fs::path& base_folder,
                    const fs::path& folder,
                    const StudentOptions& options,
                    const ModelSpec& spec) {
  const Json base = read_json_file(base_folder / kConfigFile, kMaxConfigBytes);
  Json config = student_config(base, {.dms = spec.dms, .tau = options.tau, .dtype = options.dtype});
  if (!spec.tied_head && config.contains("tie_word_embeddings")) {
    config["tie_word_embeddings"] = false;  // also where the base says otherwise and had its own
  }
  write_text_file(folder / kConfigFile, json_file_text(config));
  if (spec.dms && has_fastdms_form(*spec.dms)) {
    write_text_file(folder / kFastDmsFile, fastdms_metadata(*spec.dms).dump(2) + "\n");
  }
}

bool have_same_settings(const DmsSpec& a, const DmsSpec& b) {
  return a.source == b.source && a.decision_shift == b.decision_shift && a.window == b.window &&
         a.per_layer == b.per_layer && a.disable_eviction == b.disable_eviction &&
         a.alpha_scale == b.alpha_scale && a.alpha_offset == b.alpha_offset &&
         a.alpha_bias == b.alpha_bias && a.sinks == b.sinks && a.target_cr == b.target_cr &&
         (a.source == DmsSource::adapter || a.zero_after_rope == b.zero_after_rope);
}

/// What was written must be read as what was meant.
void check_result(const fs::path& folder, const ModelSpec& meant) {
  const ModelSpec found = load_spec(folder, MetadataScope::with_parent);
  const bool same = found.dms.has_value() == meant.dms.has_value() &&
                    (!meant.dms || have_same_settings(*found.dms, *meant.dms));
  ensure(same, "a student's settings are read as they were written");
  open_checkpoint(folder, found);
}

}  // namespace

void check_student_output(const fs::path& base_folder, const fs::path& out, bool replaces_plain) {
  const fs::path target = resolve_output(out);
  std::error_code error;
  if (fs::equivalent(base_folder, target, error)) {
    throw InputError({.where = out.string(),
                      .what = "is the folder of the base model",
                      .expected = "another folder"});
  }
  refuse_training_log(target);
  check_replaceable(target, kConfigFile, "a student's folder", is_student_file);
  if (!replaces_plain) refuse_plain_model(target);
}

std::vector<std::string> write_student_folder(const fs::path& base_folder,
                                              const fs::path& out,
                                              const StudentOptions& options,
                                              const WeightSource& source) {
  check_student_output(base_folder, out, options.replaces_plain);
  ModelSpec spec = load_spec(base_folder, MetadataScope::with_parent);
  if (options.dms || options.plain) spec.dms = options.dms;
  const fs::path target = resolve_output(out);
  prepare_parent(target);
  OutputFolder folder(target);
  write_settings(base_folder, folder.path(), options, spec);
  copy_companions(base_folder, folder.path());
  write_weight_files(folder.path(),
                     weight_names(spec),
                     source,
                     {.dtype = options.dtype, .max_shard_bytes = options.max_shard_bytes});
  check_result(folder.path(), spec);
  folder.commit();
  return notes_for(spec);
}

}  // namespace dms::train
