#include "yaml/scalar.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

#include "dms/error.h"

namespace dms::yaml {
namespace {

bool is_plain(const Node& node) { return node.is_scalar() && !node.is_quoted; }

/// The whole of `text` as a T; a leading plus sign is allowed, as in YAML.
template <class T>
std::optional<T> parse_whole(std::string_view text) {
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  T value{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return value;
}

bool is_one_of(const std::string& text, std::span<const std::string_view> words) {
  return std::ranges::find(words, text) != words.end();
}

}  // namespace

std::optional<bool> as_boolean(const Node& node) {
  constexpr std::array<std::string_view, 9> yes{
      "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"};
  constexpr std::array<std::string_view, 9> no{
      "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"};
  if (!is_plain(node)) return std::nullopt;
  if (is_one_of(node.text, yes)) return true;
  if (is_one_of(node.text, no)) return false;
  return std::nullopt;
}

std::optional<int64_t> as_integer(const Node& node) {
  return is_plain(node) ? parse_whole<int64_t>(node.text) : std::nullopt;
}

std::optional<double> as_number(const Node& node) {
  if (!is_plain(node)) return std::nullopt;
  const std::optional<double> value = parse_whole<double>(node.text);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

Json as_json(const Node& node) {
  constexpr std::array<std::string_view, 12> not_finite{".nan",
                                                        ".NaN",
                                                        ".NAN",
                                                        ".inf",
                                                        ".Inf",
                                                        ".INF",
                                                        "-.inf",
                                                        "-.Inf",
                                                        "-.INF",
                                                        "+.inf",
                                                        "+.Inf",
                                                        "+.INF"};
  if (node.is_null()) return nullptr;
  if (node.is_sequence()) {
    Json list = Json::array();
    for (const Node& item : node.children) list.push_back(as_json(item));
    return list;
  }
  if (node.is_map()) {
    Json object = Json::object();
    for (const Node& value : node.children) object[value.key] = as_json(value);
    return object;
  }
  if (is_plain(node) && is_one_of(node.text, not_finite)) {
    throw InputError({.where = node.where,
                      .what = "bad value",
                      .got = node.text,
                      .expected = "a finite number"});
  }
  if (const auto value = as_boolean(node)) return *value;
  if (const auto value = as_integer(node)) return *value;
  if (const auto value = as_number(node)) return *value;
  return node.text;
}

}  // namespace dms::yaml
