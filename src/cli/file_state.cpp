#include "cli/file_state.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <span>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "base/checksum.h"
#include "base/random.h"

namespace dms::cli {
namespace {

constexpr uint64_t kMost = uint64_t{1} << 30;  // bytes of a file that are all read
constexpr uint64_t kBlockBytes = uint64_t{1}
                                 << 20;  // the header of a file of weights, nearly always
constexpr uint64_t kPieces = 4096;
constexpr uint64_t kPieceBytes = 4096;

const std::array<std::string, 5> kModelFiles{".json", ".safetensors", ".gguf", ".jinja", ".model"};

std::string read_bytes(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// A running checksum of parts of a file.
class FileSum {
 public:
  explicit FileSum(const std::filesystem::path& file) : in_(file, std::ios::binary) {}

  void add(uint64_t begin, uint64_t bytes) {
    block_.resize(static_cast<size_t>(bytes));
    in_.seekg(static_cast<std::streamoff>(begin));
    in_.read(block_.data(), std::ssize(block_));
    const auto got = static_cast<size_t>(in_.gcount());
    sum_ = crc32(std::as_bytes(std::span(block_).first(got)), sum_);
  }
  uint32_t value() const { return sum_; }

 private:
  std::ifstream in_;
  std::vector<char> block_;
  uint32_t sum_ = 0;
};

/// "1234 89abcdef": length and checksum.
std::string content_of_file(const std::filesystem::path& file) {
  std::error_code unreadable;
  const uint64_t bytes = std::filesystem::file_size(file, unreadable);
  if (unreadable) return "";
  FileSum sum(file);
  const uint64_t whole = bytes <= kMost ? bytes : kBlockBytes;
  for (uint64_t at = 0; at < whole; at += kBlockBytes) {
    sum.add(at, std::min(kBlockBytes, whole - at));
  }
  if (bytes > kMost) {
    // At another place of each stretch, so that no row or column of a matrix is in all of them.
    const uint64_t stretch = bytes / kPieces;
    for (uint64_t i = 0; i < kPieces; ++i) {
      sum.add(i * stretch + mix64(i) % (stretch - kPieceBytes), kPieceBytes);
    }
  }
  return fmt::format("{} {:08x}", bytes, sum.value());
}

}  // namespace

std::string checksum(const std::filesystem::path& file) {
  return file.empty() ? "" : fmt::format("{:016x}", stable_hash(read_bytes(file)));
}

std::string content_of(const std::filesystem::path& model) {
  std::vector<std::string> contents;
  std::error_code none;
  if (std::filesystem::is_directory(model, none)) {
    for (const auto& entry : std::filesystem::directory_iterator(model, none)) {
      const std::filesystem::path& file = entry.path();
      const bool is_part =
          std::ranges::find(kModelFiles, file.extension().string()) != kModelFiles.end();
      if (!is_part || !entry.is_regular_file(none)) continue;
      contents.push_back(fmt::format("{} {}", file.filename().string(), content_of_file(file)));
    }
  } else if (std::filesystem::is_regular_file(model, none)) {
    contents.push_back(content_of_file(model));
  }
  std::ranges::sort(contents);
  return contents.empty()
             ? ""
             : fmt::format("{:016x}", stable_hash(fmt::format("{}", fmt::join(contents, "\n"))));
}

}  // namespace dms::cli
