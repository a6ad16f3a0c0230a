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

using Rows = std::vector<std::vector<std::string>>;

std::string layout(const Rows& rows) {
  const size_t columns = rows.front().size();
  std::vector<size_t> widths(columns);
  std::vector<bool> to_right(columns, rows.size() > 1);
  for (size_t r = 0; r < rows.size(); ++r) {
    for (size_t c = 0; c < columns; ++c) {
      widths[c] = std::max(widths[c], width(rows[r][c]));
      if (r > 0 && !looks_numeric(rows[r][c])) to_right[c] = false;
    }
  }
  std::string text;
  for (const auto& row : rows) {
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

size_t widest_line(std::string_view text) {
  size_t widest = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    widest = std::max(widest, width(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return widest;
}

/// The header and `count` rows from `first` on, as columns.
Rows turned(const Rows& rows, size_t first, size_t count) {
  Rows result(rows.front().size());
  for (size_t c = 0; c < result.size(); ++c) {
    result[c].push_back(rows.front()[c]);
    for (size_t r = first; r < first + count; ++r) result[c].push_back(rows[r][c]);
  }
  return result;
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

std::string counted(int64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string first_columns(std::string_view text, size_t columns) {
  size_t end = 0;
  for (size_t shown = 0; end < text.size(); ++end) {
    if (width(text.substr(end, 1)) == 1 && ++shown > columns) break;
  }
  return std::string(text.substr(0, end));
}

std::string labelled_line(std::string_view label, std::string_view value, size_t columns) {
  constexpr size_t kLabel = 13;
  std::string text;
  std::string line = fmt::format("{:<{}}", label, kLabel);
  for (size_t begin = 0; begin < value.size();) {
    const size_t comma = value.find(", ", begin);
    const size_t end = comma == std::string_view::npos ? value.size() : comma + 2;
    const std::string_view part = value.substr(begin, end - begin);
    const size_t wanted = width(line) + width(part) - (part.ends_with(' ') ? 1 : 0);
    if (line.size() > kLabel && wanted > columns) {
      line.erase(line.find_last_not_of(' ') + 1);
      text += line + "\n";
      line = std::string(kLabel, ' ');
    }
    line += part;
    begin = end;
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return text + line + "\n";
}

TextTable::TextTable(std::vector<std::string> header) { rows_.push_back(std::move(header)); }

void TextTable::add_row(std::vector<std::string> cells) {
  ensure(cells.size() <= rows_.front().size(), "more cells than columns");
  cells.resize(rows_.front().size());
  rows_.push_back(std::move(cells));
}

std::string TextTable::str(size_t columns) const {
  const std::string upright = layout(rows_);
  if (widest_line(upright) <= columns) return upright;
  std::string text;
  for (size_t first = 1; first < rows_.size();) {
    size_t count = 1;
    std::string block = layout(turned(rows_, first, count));
    while (first + count < rows_.size()) {
      std::string wider = layout(turned(rows_, first, count + 1));
      if (widest_line(wider) > columns) break;
      block = std::move(wider);
      ++count;
    }
    text += (text.empty() ? "" : "\n") + block;
    first += count;
  }
  return text;
}

}  // namespace dms::cli
