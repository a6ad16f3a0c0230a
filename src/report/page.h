#pragma once
// A self-contained HTML page of figures: no script and nothing from elsewhere; light and dark
// follow the reader's system. Cards are figures such as those of line_chart.h and heatmap.h.

#include <span>
#include <string>
#include <utility>

namespace dms::report {

struct Page {
  std::string title;
  std::string tiles{};  // of tile(), in a row at the top
  std::string cards{};
};
std::string render(const Page& page);

/// A line across the page that begins a part of it.
std::string section(const std::string& title, const std::string& note);
/// Cards behind a line that opens and closes them.
std::string fold(const std::string& title, const std::string& cards, bool is_open);
/// Small figures of one kind beside each other, as one card.
std::string group(const std::string& title, const std::string& note, const std::string& figures);

/// A number in large letters.
std::string tile(const std::string& name, const std::string& value);

/// A card of names and values.
std::string table_card(const std::string& title,
                       std::span<const std::pair<std::string, std::string>> rows);

/// `text` with what has a meaning in HTML escaped.
std::string escape_html(const std::string& text);

}  // namespace dms::report
