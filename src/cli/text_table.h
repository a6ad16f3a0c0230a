#pragma once
// Numbers and tables for people: aligned columns, sizes with units.

#include <cstdint>
#include <string>
#include <vector>

namespace dms::cli {

/// "1.5 GiB", "12 B".
std::string format_bytes(int64_t bytes);
/// "1.24B", "12.6M", "512".
std::string format_count(int64_t count);

/// Rows of cells under a header. Columns of numbers are aligned to the right, others to the left.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header);
  /// Missing cells are empty; more cells than columns are a bug.
  void add_row(std::vector<std::string> cells);
  /// Lines end with '\n' and carry no trailing spaces.
  std::string str() const;

 private:
  std::vector<std::vector<std::string>> rows_;  // the header first
};

}  // namespace dms::cli
