#pragma once
// NumPy's .npy format: what --decisions reads and --logits writes.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace dms {

/// A C-ordered uint8 (or bool) array.
struct NpyBytes {
  std::vector<int64_t> shape;
  std::vector<uint8_t> values;  // product of shape
};

/// Reads versions 1.0 to 3.0, dtypes |u1 and |b1, C order. Throws InputError naming file and field
/// when the file is anything else, truncated, or its header and size disagree.
NpyBytes read_npy_bytes(const std::filesystem::path& path);
/// The same from memory; `where` names the source in errors.
NpyBytes parse_npy_bytes(std::string_view file, const std::string& where);
/// Throws InputError when the file cannot be created, RunError when the disk is full.
void write_npy_bytes(const std::filesystem::path& path, const NpyBytes& array);

/// Writes a float32 [rows, columns] array row by row, so that it never needs to be in memory.
/// Throws InputError when the file cannot be created, RunError when the disk is full.
class NpyRowWriter {
 public:
  NpyRowWriter(const std::filesystem::path& path, int64_t rows, int64_t columns);
  void write_row(const float* row);  // [columns]
  /// Flushes and checks that exactly `rows` rows were written.
  void close();

 private:
  std::filesystem::path path_;
  std::ofstream file_;
  int64_t rows_;
  int64_t columns_;
  int64_t written_ = 0;
};

}  // namespace dms
