#include "cli/parse.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include <fmt/format.h>

#include "dms/error.h"

namespace dms::cli {
namespace {

[[noreturn]] void bad_value(const std::string& option,
                            std::string_view text,
                            const std::string& expected) {
  throw InputError({.where = option,
                    .what = "bad value",
                    .got = fmt::format("'{}'", text),
                    .expected = expected});
}

struct Unit {
  std::string_view name;
  double bytes;
};

constexpr double kKibi = 1024.0;
constexpr std::array kUnits{
    Unit{"", 1},
    Unit{"b", 1},
    Unit{"k", kKibi},
    Unit{"kib", kKibi},
    Unit{"kb", 1e3},
    Unit{"m", kKibi* kKibi},
    Unit{"mib", kKibi* kKibi},
    Unit{"mb", 1e6},
    Unit{"g", kKibi* kKibi* kKibi},
    Unit{"gib", kKibi* kKibi* kKibi},
    Unit{"gb", 1e9},
    Unit{"t", kKibi* kKibi* kKibi* kKibi},
    Unit{"tib", kKibi* kKibi* kKibi* kKibi},
    Unit{"tb", 1e12},
};

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(
      result, result.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

std::string integer_range(int64_t min, int64_t max) {
  return max == std::numeric_limits<int64_t>::max() ? fmt::format("an integer, at least {}", min)
                                                    : fmt::format("an integer, {} to {}", min, max);
}

std::string number_range(double min, double max) {
  const bool above = std::isfinite(min);
  const bool below = std::isfinite(max);
  if (above && below) return fmt::format("a number, {} to {}", min, max);
  return above ? fmt::format("a number, at least {}", min) : "a number";
}

std::optional<double> finite_number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  if (!whole || !std::isfinite(value)) return std::nullopt;
  return value;
}

}  // namespace

int64_t parse_integer(const std::string& option, std::string_view text, int64_t min, int64_t max) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  if (!whole || value < min || value > max) bad_value(option, text, integer_range(min, max));
  return value;
}

uint64_t parse_seed(const std::string& option, std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  if (!whole) bad_value(option, text, "an integer, 0 to 2^64 - 1");
  return value;
}

double parse_positive_number(const std::string& option, std::string_view text) {
  const std::optional<double> value = finite_number(text);
  if (!value || *value <= 0) bad_value(option, text, "a number, more than 0");
  return *value;
}

double parse_number(const std::string& option, std::string_view text, double min, double max) {
  const std::optional<double> value = finite_number(text);
  if (!value || *value < min || *value > max) bad_value(option, text, number_range(min, max));
  return *value;
}

int64_t parse_bytes(const std::string& option, std::string_view text) {
  constexpr const char* kExpected = "at least one byte, as 512MiB, 2GB or a number of bytes";
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) bad_value(option, text, kExpected);
  std::string_view unit_text = text.substr(static_cast<size_t>(end - text.data()));
  if (unit_text.starts_with(' ')) unit_text.remove_prefix(1);
  const auto* unit = std::ranges::find(kUnits, lower(unit_text), &Unit::name);
  if (unit == kUnits.end()) bad_value(option, text, kExpected);
  const double bytes = std::floor(value * unit->bytes);
  if (!(bytes >= 1 && bytes < 0x1p62)) bad_value(option, text, kExpected);
  return static_cast<int64_t>(bytes);
}

std::vector<std::string> parse_list(const std::string& option, std::string_view text) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    parts.emplace_back(text.substr(begin, comma - begin));
    if (parts.back().empty()) bad_value(option, text, "values separated by commas");
    begin = comma + 1;
  }
  return parts;
}

std::vector<int64_t> parse_integer_list(const std::string& option,
                                        std::string_view text,
                                        int64_t min,
                                        int64_t max) {
  std::vector<int64_t> values;
  for (const std::string& part : parse_list(option, text)) {
    values.push_back(parse_integer(option, part, min, max));
  }
  return values;
}

bool is_ascii_word(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

std::map<std::string, std::string> parse_key_values(const std::string& option,
                                                    std::string_view text) {
  std::map<std::string, std::string> values;
  for (const std::string& part : parse_list(option, text)) {
    const size_t equals = part.find('=');
    const bool well_formed = equals != std::string::npos && equals > 0;
    if (!well_formed) bad_value(option, part, "key=value");
    const auto [entry, is_new] = values.emplace(part.substr(0, equals), part.substr(equals + 1));
    if (!is_new) bad_value(option, part, "each key once");
  }
  return values;
}

std::vector<std::string> parse_command(const std::string& option, std::string_view text) {
  std::vector<std::string> words;
  bool is_inside = false;  // a word: '' is one too
  char quote = 0;
  for (const char c : text) {
    const bool is_blank = quote == 0 && (c == ' ' || c == '\t' || c == '\n');
    if (!is_blank && !is_inside) words.emplace_back();
    is_inside = !is_blank;
    if (is_blank) continue;
    if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    } else {
      words.back() += c;
    }
  }
  if (quote != 0)
    bad_value(option, text, fmt::format("another {} at the end of what it begins", quote));
  if (words.empty() || words.front().empty()) bad_value(option, text, "a command");
  return words;
}

}  // namespace dms::cli
