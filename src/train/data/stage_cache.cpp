#include "train/data/stage_cache.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <string_view>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/output_file.h"
#include "base/output_folder.h"
#include "train/data/sha256.h"

namespace dms::train::data {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDescription = "stage.json";
constexpr size_t kKeyDigits = 16;  // of the folder's name; the whole key is in its description
constexpr int64_t kMaxDescription = int64_t{64} << 20;

RunError unwritable(const fs::path& path, const std::string& why) {
  return RunError({.where = path.string(),
                   .what = "cannot be written: " + why,
                   .hint = "set data.cache_dir to a folder with space"});
}

int lock(const fs::path& root, const DataProgress& progress) {
  const fs::path file = root / ".lock";
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) throw unwritable(file, std::strerror(errno));
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  if (progress) progress("waiting for another process that prepares the same data", 0, 0);
  while (::flock(fd, LOCK_EX) != 0) {
    if (errno == EINTR) continue;
    const int error = errno;
    ::close(fd);
    throw unwritable(file, std::strerror(error));
  }
  return fd;
}

/// A dataset's name as part of a file's.
std::string plain(std::string name) {
  std::ranges::replace_if(
      name,
      [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-'; },
      '_');
  return name.substr(0, 80);
}

/// Whether `name` ends as a stage's folder does.
bool names_stage(std::string_view name) {
  if (name.size() <= kKeyDigits || name[name.size() - kKeyDigits - 1] != '-') return false;
  return std::ranges::all_of(name.substr(name.size() - kKeyDigits), [](char c) {
    return std::isxdigit(static_cast<unsigned char>(c)) != 0;
  });
}

}  // namespace

StageCache::StageCache(fs::path root, const DataProgress& progress) : root_(std::move(root)) {
  std::error_code error;
  fs::create_directories(root_, error);
  if (error) throw unwritable(root_, error.message());
  lock_ = lock(root_, progress);
  remove_leftovers(root_, names_stage);
}

StageCache::~StageCache() { ::close(lock_); }

Stage StageCache::locate(const std::string& name, const Json& settings) const {
  Stage stage;
  stage.key = sha256(settings.dump(-1, ' ', true, Json::error_handler_t::replace));
  stage.folder = root_ / (plain(name) + "-" + stage.key.substr(0, kKeyDigits));
  return stage;
}

void StageCache::read_description(Stage& stage) {
  const fs::path file = stage.folder / kDescription;
  const Json root = read_json_file(file, kMaxDescription);
  const JsonFields fields(root, file.string());
  if (fields.string("key") != stage.key) {
    throw InputError({.where = file.string() + ": key", .what = "belongs to other settings"});
  }
  const Json* description = fields.find("description");
  stage.description = description == nullptr ? Json::object() : *description;
}

void StageCache::make(Stage& stage, const Json& settings, const Build& build) const {
  try {
    OutputFolder output(stage.folder);
    stage.description = build(output.path());
    const Json all = {
        {"key", stage.key}, {"settings", settings}, {"description", stage.description}};
    write_text_file(output.path() / kDescription,
                    all.dump(1, ' ', true, Json::error_handler_t::replace) + "\n");
    output.commit();
  } catch (const fs::filesystem_error& error) {
    throw unwritable(stage.folder, error.code().message());
  }
}

}  // namespace dms::train::data
