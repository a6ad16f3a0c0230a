#include "serve/own_origin.h"

#include <algorithm>
#include <initializer_list>

namespace dms::serve {
namespace {

bool is_made_of(std::string_view text, std::string_view letters) {
  return !text.empty() && text.find_first_not_of(letters) == std::string_view::npos;
}

/// Browsers read every host of digits and dots as an address, or not at all.
bool is_address(std::string_view name) {
  if (name.starts_with('[') && name.ends_with(']')) {
    return is_made_of(name.substr(1, name.size() - 2), "0123456789abcdefABCDEF:.");
  }
  return is_made_of(name, "0123456789.");
}

std::string_view without_port(std::string_view host) {
  const size_t bracket = host.rfind(']');
  const size_t colon = host.rfind(':');
  const bool has_port =
      colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  return has_port ? host.substr(0, colon) : host;
}

}  // namespace

bool is_own_origin(std::string_view origin, std::string_view host, std::string_view listens_at) {
  const std::string_view name = without_port(host);
  if (name.empty() || (!is_address(name) && name != "localhost" && name != listens_at)) {
    return false;
  }
  return std::ranges::any_of(
      std::initializer_list<std::string_view>{"http://", "https://"}, [&](std::string_view scheme) {
        return origin.starts_with(scheme) && origin.substr(scheme.size()) == host;
      });
}

}  // namespace dms::serve
