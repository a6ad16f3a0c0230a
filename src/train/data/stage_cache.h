#pragma once
// Stages of the preparation as folders under one root, each named by the hash of everything it
// depends on, and there as a whole or not at all. One process at a time prepares under a root,
// others wait for it. One thread at a time.

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/file_status.h"
#include "base/json.h"
#include "dms/error.h"
#include "train/data/batches.h"

namespace dms::train::data {

struct Stage {
  std::filesystem::path folder;
  std::string key;   // SHA-256 of the settings
  Json description;  // what its builder returned
};

class StageCache {
 public:
  /// Writes the stage's files into `folder` and returns what describes them.
  using Build = std::function<Json(const std::filesystem::path& folder)>;

  /// Creates the root and waits until no other process prepares there. Throws RunError when the
  /// root cannot be written.
  StageCache(std::filesystem::path root, const DataProgress& progress);
  ~StageCache();
  StageCache(const StageCache&) = delete;
  StageCache& operator=(const StageCache&) = delete;

  /// open(stage) of the stage `name` with these settings, which is built first where it is not
  /// there; built again, with a note, where it or open() throws InputError because of damage.
  template <class Open>
  auto get(const std::string& name, const Json& settings, const Build& build, const Open& open) {
    Stage stage = locate(name, settings);
    if (path_exists(stage.folder)) {
      try {
        read_description(stage);
        return open(stage);
      } catch (const InputError& error) {
        notes_.push_back(std::string("a damaged cache was made again: ") + error.what());
      }
    }
    make(stage, settings, build);
    return open(stage);
  }

  const std::vector<std::string>& notes() const { return notes_; }

 private:
  Stage locate(const std::string& name, const Json& settings) const;
  static void read_description(Stage& stage);
  void make(Stage& stage, const Json& settings, const Build& build) const;

  std::filesystem::path root_;
  std::vector<std::string> notes_;
  int lock_ = -1;
};

}  // namespace dms::train::data
