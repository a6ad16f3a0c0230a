#include "serve/auth.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "base/constant_time.h"

namespace dms::serve {
namespace {

/// The scheme's name is written in any case.
bool begins_with_scheme(std::string_view text, std::string_view scheme) {
  return text.size() >= scheme.size() &&
         std::ranges::equal(text.substr(0, scheme.size()), scheme, [](char a, char b) {
           return std::tolower(static_cast<unsigned char>(a)) == b;
         });
}

bool is_in_header_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_';
}

}  // namespace

std::string allowed_headers(std::string_view asked) {
  constexpr size_t kMostBytes = 2048;
  const bool is_list =
      !asked.empty() && asked.size() <= kMostBytes && std::ranges::all_of(asked, [](char c) {
        return is_in_header_name(c) || c == ',' || c == ' ';
      });
  return is_list ? std::string(asked) : "Authorization, Content-Type, X-Api-Key, Anthropic-Version";
}

Auth::Auth(std::vector<std::string> keys, std::vector<std::string> origins)
    : keys_(std::move(keys)), origins_(std::move(origins)) {}

bool Auth::is_known(std::string_view offered) const {
  bool is_known = false;
  // All of them, so that the time does not tell which one fits.
  for (const std::string& key : keys_) {
    is_known = equal_in_constant_time(key, offered) || is_known;
  }
  return is_known;
}

bool Auth::has_key(std::string_view authorization, std::string_view api_key) const {
  if (keys_.empty() || is_known(api_key)) return true;
  constexpr std::string_view kScheme = "bearer ";
  if (!begins_with_scheme(authorization, kScheme)) return false;
  std::string_view offered = authorization.substr(kScheme.size());
  offered.remove_prefix(std::min(offered.find_first_not_of(' '), offered.size()));
  return is_known(offered);
}

bool Auth::may_ask(std::string_view origin) const {
  return origin.empty() || std::ranges::any_of(origins_, [&](const std::string& named) {
           return named == "*" || named == origin;
         });
}

}  // namespace dms::serve
