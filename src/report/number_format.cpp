#include "report/number_format.h"

#include <array>
#include <cmath>

#include <fmt/format.h>

namespace dms::report {
namespace {

constexpr size_t kMostFixed =
    6;  // characters of a number below a thousandth that fit beside an axis

/// "3.5e-05" to "3.5e-5".
std::string without_padded_exponent(std::string text) {
  const size_t e = text.find('e');
  if (e == std::string::npos || e + 2 >= text.size()) return text;
  size_t zeros = e + 2;
  while (zeros + 1 < text.size() && text[zeros] == '0') ++zeros;
  text.erase(e + 2, zeros - (e + 2));
  if (text[e + 1] == '+') text.erase(e + 1, 1);
  return text;
}

/// "1.05e-04", without the zeros that %e would add to its digits.
std::string scientific(double value, int digits) {
  std::string text = fmt::format("{:.{}e}", value, digits - 1);
  const size_t e = text.find('e');
  size_t end = text.find_last_not_of('0', e - 1) + 1;
  if (text[end - 1] == '.') --end;
  return text.erase(end, e - end);
}

}  // namespace

std::string short_number(double value, int digits) {
  struct Unit {
    double size;
    const char* name;
  };
  constexpr std::array<Unit, 4> units{{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e4, "k"}}};
  const double magnitude = std::abs(value);
  if (std::isfinite(value) && magnitude < 1e15) {
    for (const Unit& unit : units) {
      const double divisor = unit.size == 1e4 ? 1e3 : unit.size;
      if (magnitude >= unit.size)
        return fmt::format("{:.{}g}{}", value / divisor, digits, unit.name);
    }
    if (magnitude >= 1000) return fmt::format("{:.0f}", value);
    if (magnitude >= 1e-3 || magnitude == 0) return fmt::format("{:.{}g}", value, digits);
  }
  std::string text = fmt::format("{:.{}g}", value, digits);
  if (text.starts_with("0.000") && text.size() > kMostFixed) text = scientific(value, digits);
  return without_padded_exponent(std::move(text));
}

std::string short_duration(double seconds) {
  constexpr double longest = 1e10;  // three centuries
  if (!(seconds >= 0) || seconds > longest) return "?";
  const auto total = static_cast<int64_t>(std::llround(seconds));
  const auto part = [total](int64_t unit, int64_t modulus) { return total / unit % modulus; };
  if (total < 60) return fmt::format("{}s", total);
  if (total < 3600) return fmt::format("{}m{:02}s", total / 60, part(1, 60));
  if (total < 86400) return fmt::format("{}h{:02}m", total / 3600, part(60, 60));
  return fmt::format("{}d{:02}h", total / 86400, part(3600, 24));
}

}  // namespace dms::report
