#pragma once
// Rows under a header: as Markdown with aligned columns, and as a card of the HTML page.

#include <string>
#include <vector>

namespace dms::report {

struct DataTable {
  std::string title;
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;  // as long as the header
};

/// The title as a line of its own, then the table; columns whose cells begin with a digit, a sign
/// or are "-" are aligned to the right. Lines end with '\n'.
std::string to_markdown(const DataTable& table);
std::string to_card(const DataTable& table);

}  // namespace dms::report
