#include "base/bounds.h"

#include <array>
#include <charconv>
#include <limits>

namespace dms {
namespace {

/// `least` is empty where every value is large enough, `text` shows a bound.
template <class T, class Text>
std::string bounded(std::string kind, const std::string& least, T max, Text text) {
  const bool has_most = max < std::numeric_limits<T>::max();
  if (least.empty()) return has_most ? kind + ", at most " + text(max) : kind;
  kind += ", " + least;
  if (least.starts_with("more")) return has_most ? kind + ", at most " + text(max) : kind;
  return kind + (has_most ? " to " + text(max) : " or more");
}

}  // namespace

std::string integer_in(int64_t min, int64_t max) {
  const auto text = [](int64_t value) { return std::to_string(value); };
  const bool has_least = min > std::numeric_limits<int64_t>::min();
  return bounded("an integer", has_least ? text(min) : "", max, text);
}

std::string number_in(double min, double max) {
  std::string least = number_text(min);
  if (min <= std::numeric_limits<double>::lowest()) least.clear();
  if (min > 0.0 && min <= std::numeric_limits<double>::min()) least = "more than 0";
  return bounded("a number", least, max, number_text);
}

std::string number_text(double value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

}  // namespace dms
