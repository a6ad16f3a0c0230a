#pragma once
// A text whose tokens are shaded by a share, as an HTML card: how many heads still hold each.

#include <string>
#include <vector>

namespace dms::report {

struct ShadedText {
  std::string title;
  std::string unit;
  std::vector<std::string> pieces;  // of UTF-8; what is cut inside a character is repaired
  std::vector<double> shares;       // of each piece, 0 to 1
};

/// Empty where there is no piece. Of long texts the beginning and the end are shown.
std::string render(const ShadedText& text);

}  // namespace dms::report
