#pragma once
// manifest.json, a checkpoint's last file: which files it has, how long they are and what their
// contents sum to. A folder without one was never finished.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace dms::train {

inline constexpr std::string_view kManifestFile = "manifest.json";

struct ManifestFile {
  std::string name;  // a plain file name
  int64_t bytes = 0;
  uint32_t crc32 = 0;
};

struct Manifest {
  int64_t step = 0;
  int64_t world_size = 1;           // ranks that wrote it
  std::vector<ManifestFile> files;  // by name
};

/// Measures every file of `folder`. Throws InputError where one cannot be read.
Manifest make_manifest(const std::filesystem::path& folder, int64_t step, int64_t world_size);

/// Throws RunError when the disk is full.
void write_manifest(const std::filesystem::path& folder, const Manifest& manifest);

/// Throws InputError naming file and field.
Manifest read_manifest(const std::filesystem::path& folder);

enum class Check {
  sizes,     // every file is there and as long as it was
  contents,  // and holds what it held
};

/// Throws InputError naming the first file that is missing, short, long or damaged.
void check_files(const std::filesystem::path& folder, const Manifest& manifest, Check check);

}  // namespace dms::train
