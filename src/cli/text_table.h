#pragma once
// Numbers and tables for people: aligned columns, sizes with units.

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace dms::cli {

/// "1.5 GiB", "12 B".
std::string format_bytes(int64_t bytes);
/// "1.24B", "12.6M", "512".
std::string format_count(int64_t count);
/// "1 token", "2 tokens".
std::string counted(int64_t count, std::string_view noun);
/// What fits into so many columns of a terminal.
std::string first_columns(std::string_view text, size_t columns);
/// "label        value, more\n", broken after commas so that it fits.
std::string labelled_line(std::string_view label, std::string_view value, size_t columns);

/// Rows of cells under a header. Columns of numbers are aligned to the right, others to the left.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header);
  /// Missing cells are empty; more cells than columns are a bug.
  void add_row(std::vector<std::string> cells);
  /// Lines end with '\n' and carry no trailing spaces. A table wider than `columns` is turned
  /// round, so that the header goes down the side and as many rows as fit stand beside each other.
  std::string str(size_t columns = std::numeric_limits<size_t>::max()) const;

 private:
  std::vector<std::vector<std::string>> rows_;  // the header first
};

}  // namespace dms::cli
