#pragma once
// NumPy's .npy format: what --decisions reads and --logits writes.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/output_file.h"

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
/// As OutputFile: whole or not at all. Throws InputError when the file cannot be created, RunError
/// when the disk is full.
void write_npy_bytes(const std::filesystem::path& path, const NpyBytes& array);

/// Writes a float32 [rows, columns] array row by row, so that it never needs to be in memory. The
/// file appears at close(): an array that is not finished leaves what was there before. Throws
/// InputError when the file cannot be created, RunError when the disk is full.
class NpyRowWriter {
 public:
  NpyRowWriter(const std::filesystem::path& path, int64_t rows, int64_t columns);
  void write_row(const float* row);  // [columns]
  /// Checks that exactly `rows` rows were written and puts the file in place.
  void close();

 private:
  OutputFile file_;
  int64_t rows_;
  int64_t columns_;
  int64_t written_ = 0;
};

}  // namespace dms
