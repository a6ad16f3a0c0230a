#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "base/suggest.h"
#include "dms/error.h"
#include "policy/policy.h"

namespace dms::policy {
namespace {

template <class T>
std::optional<T> parse_number(const std::string& text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || rest != end) return std::nullopt;
  return value;
}

/// As short as it reads back: 0.5, not 0.500000.
template <class T>
std::string number_text(T value) {
  std::array<char, 32> text;
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

template <class T>
std::string range_text(std::string_view kind, T min, T max) {
  return std::string(kind) + " from " + number_text(min) + " to " + number_text(max);
}

}  // namespace

ArgReader::ArgReader(std::string_view policy, const std::map<std::string, std::string>& args)
    : policy_(policy), args_(args) {}

const std::string* ArgReader::find(const std::string& key) {
  known_.insert(key);
  const auto it = args_.find(key);
  return it == args_.end() ? nullptr : &it->second;
}

void ArgReader::wrong(const std::string& key,
                      const std::string& got,
                      const std::string& want,
                      const std::string& hint) const {
  throw InputError({.field = "policy_args." + key,
                    .what = "bad value for policy " + policy_,
                    .got = got,
                    .expected = want,
                    .hint = hint});
}

int64_t ArgReader::integer(const std::string& key, int64_t fallback, int64_t min, int64_t max) {
  const std::string* text = find(key);
  if (text == nullptr) return fallback;
  const std::optional<int64_t> value = parse_number<int64_t>(*text);
  if (!value || *value < min || *value > max) wrong(key, *text, range_text("an integer", min, max));
  return *value;
}

int64_t ArgReader::odd_integer(const std::string& key, int64_t fallback, int64_t max) {
  const int64_t value = integer(key, fallback, 1, max);
  if (value % 2 == 0) wrong(key, number_text(value), "an odd number, so that it has a middle");
  return value;
}

uint64_t ArgReader::seed(const std::string& key) {
  const std::string* text = find(key);
  if (text == nullptr) return 0;
  const std::optional<uint64_t> value = parse_number<uint64_t>(*text);
  if (!value) wrong(key, *text, "an integer from 0 to 2^64 - 1");
  return *value;
}

double ArgReader::number(const std::string& key, double fallback, double min, double max) {
  const std::string* text = find(key);
  if (text == nullptr) return fallback;
  const std::optional<double> value = parse_number<double>(*text);
  if (!value || !(*value >= min && *value <= max)) {
    wrong(key, *text, range_text("a number", min, max));
  }
  return *value;
}

double ArgReader::share(const std::string& key, double fallback) {
  const double value = number(key, fallback, 0.0, 1.0);
  if (value > 0 && value < 1) return value;
  throw InputError({.field = "policy_args." + key,
                    .what = "takes nothing, or all, of a prompt",
                    .got = number_text(value),
                    .expected = "above 0 and below 1"});
}

bool ArgReader::boolean(const std::string& key, bool fallback) {
  const std::string* text = find(key);
  if (text == nullptr) return fallback;
  if (*text == "true" || *text == "1") return true;
  if (*text == "false" || *text == "0") return false;
  wrong(key, *text, "true or false");
}

std::string ArgReader::text(const std::string& key) {
  const std::string* text = find(key);
  return text == nullptr ? "" : *text;
}

size_t ArgReader::choice(const std::string& key, const std::vector<std::string_view>& names) {
  const std::string* text = find(key);
  if (text == nullptr) return 0;
  const auto found = std::ranges::find(names, *text);
  if (found != names.end()) return static_cast<size_t>(found - names.begin());
  std::string known;
  for (const std::string_view name : names) {
    known += (known.empty() ? "" : " or ") + std::string(name);
  }
  wrong(
      key, *text, known, did_you_mean(*text, std::vector<std::string>(names.begin(), names.end())));
}

void ArgReader::finish() const {
  for (const auto& [key, value] : args_) {
    if (known_.contains(key)) continue;
    std::string names;
    for (const std::string& name : known_) names += (names.empty() ? "" : ", ") + name;
    throw InputError(
        {.field = "policy_args",
         .what = "policy " + policy_ + " has no such argument",
         .got = key,
         .expected = names.empty() ? "no arguments" : "one of " + names,
         .hint = did_you_mean(key, std::vector<std::string>(known_.begin(), known_.end()))});
  }
}

}  // namespace dms::policy
