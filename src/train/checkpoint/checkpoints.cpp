#include "train/checkpoint/checkpoints.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "base/file_status.h"
#include "base/output_folder.h"
#include "dms/error.h"

namespace dms::train {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "checkpoint-";
constexpr size_t kMaxDigits = 18;

/// By step, newest first.
using Checkpoints = std::map<int64_t, fs::path, std::greater<>>;

Checkpoints list_checkpoints(const fs::path& output_dir) {
  Checkpoints found;
  for (const fs::path& item : entries_of(output_dir)) {
    const auto step = checkpoint_step(item.filename().string());
    if (step && is_folder(item)) found.emplace(*step, item);
  }
  return found;
}

bool is_whole(const fs::path& path) {
  try {
    check_files(path, read_manifest(path), Check::sizes);
    return true;
  } catch (const InputError&) {
    return false;
  }
}

}  // namespace

std::string checkpoint_name(int64_t step) { return std::string(kPrefix) + std::to_string(step); }

std::string rank_file(std::string_view kind, int64_t rank) {
  return std::string(kind) + "-" + std::to_string(rank) + ".safetensors";
}

std::optional<int64_t> checkpoint_step(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  int64_t step = 0;
  const auto [stop, error] = std::from_chars(name.data(), name.data() + name.size(), step);
  const bool is_number = error == std::errc() && stop == name.data() + name.size() && step >= 0;
  return is_number && name.size() <= kMaxDigits && name.front() != '-' ? std::optional(step)
                                                                       : std::nullopt;
}

fs::path CheckpointFolder::file(std::string_view name) const {
  const auto found = std::ranges::find(manifest.files, name, &ManifestFile::name);
  if (found != manifest.files.end()) return path / name;
  throw InputError({.where = (path / name).string(),
                    .what = "the checkpoint has no such file",
                    .got = "a checkpoint of " + std::to_string(manifest.world_size) + " ranks"});
}

CheckpointFolder open_checkpoint_folder(const fs::path& path) {
  if (!is_folder(path)) {
    throw InputError({.where = path.string(),
                      .what = "no such checkpoint folder",
                      .expected = "a folder checkpoint-STEP"});
  }
  if (!path_exists(path / kManifestFile)) {
    const Checkpoints inside = list_checkpoints(path);
    throw InputError(
        {.where = (path / kManifestFile).string(),
         .what = "missing: no checkpoint, or one whose save was not finished",
         .hint = inside.empty() ? "" : "did you mean " + inside.begin()->second.string() + "?"});
  }
  CheckpointFolder folder{.path = path, .manifest = read_manifest(path), .notes = {}};
  check_files(path, folder.manifest, Check::contents);
  return folder;
}

std::optional<CheckpointFolder> latest_checkpoint(const fs::path& output_dir) {
  std::vector<std::string> notes;
  for (const auto& [step, path] : list_checkpoints(output_dir)) {
    try {
      CheckpointFolder folder = open_checkpoint_folder(path);
      folder.notes = std::move(notes);
      return folder;
    } catch (const InputError& error) {
      notes.push_back("passed over " + path.filename().string() + ": " + error.what());
    }
  }
  if (notes.empty()) return std::nullopt;
  throw InputError({.where = output_dir.string(),
                    .what = "has no checkpoint to resume from: " + notes.front(),
                    .hint = "remove the damaged checkpoints to begin anew"});
}

void prune_checkpoints(const fs::path& output_dir, int64_t save_total_limit) {
  if (save_total_limit <= 0) return;
  int64_t kept = 0;
  bool have_whole = false;
  for (const auto& [step, path] : list_checkpoints(output_dir)) {
    const bool is_newest_whole = !have_whole && is_whole(path);
    have_whole = have_whole || is_newest_whole;
    if (kept < save_total_limit || is_newest_whole) {
      ++kept;
    } else {
      remove_folder(path);
    }
  }
}

}  // namespace dms::train
