#include "report/data_table.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

#include "base/utf8.h"
#include "report/page.h"

namespace dms::report {
namespace {

bool looks_numeric(const std::string& cell) {
  return cell.empty() || cell == "-" || std::isdigit(static_cast<unsigned char>(cell[0])) != 0 ||
         ((cell[0] == '+' || cell[0] == '-') && cell.size() > 1);
}

bool is_numeric(const DataTable& table, size_t column) {
  return std::ranges::all_of(table.rows, [column](const std::vector<std::string>& row) {
    return looks_numeric(row[column]);
  });
}

/// A bar would end the cell, a line's end the row, and "<" begin a tag.
std::string escape(const std::string& cell) {
  std::string escaped;
  for (const char c : cell) {
    if (c == '|' || c == '\\' || c == '<') escaped += '\\';
    escaped += std::iscntrl(static_cast<unsigned char>(c)) != 0 ? ' ' : c;
  }
  return escaped;
}

std::string line(const std::vector<std::string>& cells,
                 const std::vector<size_t>& widths,
                 const std::vector<bool>& to_right) {
  std::string text(1, '|');
  for (size_t c = 0; c < cells.size(); ++c) {
    const std::string cell = escape(cells[c]);
    const std::string padding(widths[c] - count_code_points(cell), ' ');
    text +=
        to_right[c] ? fmt::format(" {}{} |", padding, cell) : fmt::format(" {}{} |", cell, padding);
  }
  return text + "\n";
}

}  // namespace

std::string to_markdown(const DataTable& table) {
  std::vector<size_t> widths;
  std::vector<bool> to_right;
  std::vector<std::string> rule;
  for (size_t c = 0; c < table.header.size(); ++c) {
    constexpr size_t kLeast = 3;  // of a rule's dashes
    size_t width = std::max(count_code_points(escape(table.header[c])), kLeast);
    for (const auto& row : table.rows) {
      width = std::max(width, count_code_points(escape(row[c])));
    }
    widths.push_back(width);
    to_right.push_back(is_numeric(table, c));
    rule.push_back(to_right[c] ? std::string(width - 1, '-') + ":" : std::string(width, '-'));
  }
  std::string text = table.title.empty() ? "" : table.title + "\n\n";
  text += line(table.header, widths, to_right) + line(rule, widths, to_right);
  for (const auto& row : table.rows) text += line(row, widths, to_right);
  return text;
}

std::string to_card(const DataTable& table) {
  std::string html = "<section class=\"card wide\">";
  if (!table.title.empty()) html += "<h2>" + escape_html(table.title) + "</h2>";
  html += "<div class=\"scroll\"><table class=\"data\"><tr>";
  const auto cells = [&](const std::vector<std::string>& row, const char* tag) {
    for (size_t c = 0; c < row.size(); ++c) {
      html += fmt::format("<{0}{1}>{2}</{0}>",
                          tag,
                          is_numeric(table, c) ? " class=\"number\"" : "",
                          escape_html(row[c]));
    }
  };
  cells(table.header, "th");
  html += "</tr>";
  for (const auto& row : table.rows) {
    html += "<tr>";
    cells(row, "td");
    html += "</tr>";
  }
  return html + "</table></div></section>\n";
}

}  // namespace dms::report
