#include "model/spec/shard_index.h"

#include <set>

#include "base/json.h"
#include "dms/error.h"

namespace dms {
namespace {

constexpr int64_t kMaxIndexBytes = int64_t{256} << 20;

/// A shard is a file of this folder: no way out of it.
void check_plain(const std::string& name, const std::string& where) {
  const bool is_plain = !name.empty() && name != "." && name != ".." &&
                        name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
  if (is_plain) return;
  throw InputError({.where = where,
                    .what = "shard is not a plain file name",
                    .got = name,
                    .expected = "a file in the model folder"});
}

}  // namespace

ShardIndex::ShardIndex(const std::filesystem::path& path) : path_(path) {
  const Json root = read_json_file(path, kMaxIndexBytes);
  const JsonFields index(root, path.string());
  const std::string where_map = path.string() + ": weight_map";
  const Json* map = index.find("weight_map");
  if (map == nullptr) {
    throw InputError(
        {.where = where_map, .what = "missing", .expected = "an object of tensor and file names"});
  }
  const JsonFields fields(*map, where_map);
  for (const auto& [tensor, file] : map->items()) {
    check_plain(files_.emplace(tensor, fields.string(tensor)).first->second, where(tensor));
  }
}

std::vector<std::filesystem::path> ShardIndex::files() const {
  std::set<std::filesystem::path> unique;
  for (const auto& [tensor, file] : files_) unique.insert(path_.parent_path() / file);
  return {unique.begin(), unique.end()};
}

const std::string& ShardIndex::file_of(std::string_view tensor) const {
  const auto it = files_.find(tensor);
  if (it != files_.end()) return it->second;
  throw InputError(
      {.where = where(tensor), .what = "missing", .expected = "the file that holds the tensor"});
}

std::string ShardIndex::where(std::string_view tensor) const {
  return path_.string() + ": weight_map: " + std::string(tensor);
}

}  // namespace dms
