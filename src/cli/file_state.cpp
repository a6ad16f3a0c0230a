#include "cli/file_state.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "base/random.h"

namespace dms::cli {
namespace {

std::string read_bytes(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

const std::array<std::string, 5> kModelFiles{".json", ".safetensors", ".gguf", ".jinja", ".model"};

}  // namespace

std::string checksum(const std::filesystem::path& file) {
  return file.empty() ? "" : fmt::format("{:016x}", stable_hash(read_bytes(file)));
}

std::string state_of_files(const std::filesystem::path& model) {
  std::vector<std::string> states;
  const auto add = [&states](const std::filesystem::path& file) {
    std::error_code missing;
    const auto time = std::filesystem::last_write_time(file, missing).time_since_epoch().count();
    const auto size = std::filesystem::file_size(file, missing);
    states.push_back(fmt::format("{} {} {}", file.filename().string(), size, time));
  };
  std::error_code none;
  if (std::filesystem::is_directory(model, none)) {
    for (const auto& entry : std::filesystem::directory_iterator(model, none)) {
      const bool is_part =
          std::ranges::find(kModelFiles, entry.path().extension().string()) != kModelFiles.end();
      if (is_part && entry.is_regular_file(none)) add(entry.path());
    }
  } else if (!model.empty()) {
    add(model);
  }
  std::ranges::sort(states);
  return states.empty()
             ? ""
             : fmt::format("{:016x}", stable_hash(fmt::format("{}", fmt::join(states, "\n"))));
}

}  // namespace dms::cli
