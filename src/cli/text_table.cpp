#include "cli/text_table.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <span>
#include <string_view>

#include <fmt/format.h>

#include "base/check.h"

namespace dms::cli {
namespace {

struct Scale {
  double step;
  std::span<const std::string_view> units;  // the first one: none
};

std::string scaled(int64_t value, const Scale& scale) {
  auto number = static_cast<double>(value);
  size_t unit = 0;
  while (std::abs(number) >= scale.step && unit + 1 < scale.units.size()) {
    number /= scale.step;
    ++unit;
  }
  if (unit == 0) return fmt::format("{}{}", value, scale.units[0]);
  const int digits = number < 10 ? 2 : number < 100 ? 1 : 0;
  return fmt::format("{:.{}f}{}", number, digits, scale.units[unit]);
}

/// Characters a terminal shows: UTF-8 continuation bytes take no place.
size_t width(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u; }));
}

bool looks_numeric(std::string_view cell) {
  return cell.empty() || cell == "-" || std::isdigit(static_cast<unsigned char>(cell.front())) != 0;
}

}  // namespace

std::string format_bytes(int64_t bytes) {
  static constexpr std::array<std::string_view, 5> kUnits{" B", " KiB", " MiB", " GiB", " TiB"};
  return scaled(bytes, {.step = 1024, .units = kUnits});
}

std::string format_count(int64_t count) {
  static constexpr std::array<std::string_view, 5> kUnits{"", "K", "M", "B", "T"};
  return scaled(count, {.step = 1000, .units = kUnits});
}

TextTable::TextTable(std::vector<std::string> header) { rows_.push_back(std::move(header)); }

void TextTable::add_row(std::vector<std::string> cells) {
  ensure(cells.size() <= rows_.front().size(), "more cells than columns");
  cells.resize(rows_.front().size());
  rows_.push_back(std::move(cells));
}

std::string TextTable::str() const {
  const size_t columns = rows_.front().size();
  std::vector<size_t> widths(columns);
  std::vector<bool> to_right(columns, rows_.size() > 1);
  for (size_t r = 0; r < rows_.size(); ++r) {
    for (size_t c = 0; c < columns; ++c) {
      widths[c] = std::max(widths[c], width(rows_[r][c]));
      if (r > 0 && !looks_numeric(rows_[r][c])) to_right[c] = false;
    }
  }
  std::string text;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t c = 0; c < columns; ++c) {
      const std::string padding(widths[c] - width(row[c]), ' ');
      line += (c == 0 ? "" : "  ") + (to_right[c] ? padding + row[c] : row[c] + padding);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace dms::cli
