#pragma once
// A text whose tokens are shaded by a share, as an HTML card: how many heads still hold each.

#include <string>
#include <vector>

namespace dms::report {

struct ShadedText {
  std::string title;
  std::string unit;
  std::vector<std::string> pieces;  // bytes of UTF-8; a character is shown by the one that ends it
  std::vector<double> shares;       // 0 to 1, of the pieces that are shown: the first ones or all
};

/// Empty where no piece is shown. Of long texts the beginning and the end are shown.
std::string render(const ShadedText& text);

}  // namespace dms::report
