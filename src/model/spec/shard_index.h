#pragma once
// model.safetensors.index.json: which file of a folder holds which tensor. Immutable.

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace dms {

class ShardIndex {
 public:
  /// Reads an index. Throws InputError unless every file it names is a plain name in its folder.
  explicit ShardIndex(const std::filesystem::path& path);

  /// The files it names, each once.
  std::vector<std::filesystem::path> files() const;

  bool names(std::string_view tensor) const { return files_.contains(tensor); }

  /// The file that holds `tensor`. Throws InputError when the index does not say.
  const std::string& file_of(std::string_view tensor) const;

  /// Where the index speaks of `tensor`, for errors.
  std::string where(std::string_view tensor) const;

 private:
  std::filesystem::path path_;
  std::map<std::string, std::string, std::less<>> files_;  // by tensor
};

}  // namespace dms
