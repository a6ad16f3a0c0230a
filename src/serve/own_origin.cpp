#include "serve/own_origin.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <initializer_list>
#include <iterator>

#include <unistd.h>

#include "dms/error.h"

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

bool is_same_name(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::string machine_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

}  // namespace

std::vector<std::string> names_of_machine(const std::string& name) {
  const std::string label = name.substr(0, name.find('.'));
  if (label.empty()) return {};
  return {name, label, label + ".local"};
}

std::vector<std::string> names_of(const ServerSettings& settings) {
  std::vector<std::string> names = settings.allowed_hosts;
  names.push_back(settings.host);
  std::ranges::move(names_of_machine(machine_name()), std::back_inserter(names));
  return names;
}

void check_host_names(std::span<const std::string> names) {
  for (const std::string& name : names) {
    const bool is_name = !name.empty() && name.find_first_of(":/ \t") == std::string::npos;
    if (is_name || is_address(name)) continue;
    throw InputError({.where = "--allowed-host",
                      .what = "no name of a host",
                      .got = name,
                      .expected = "a name without scheme and port, as llm.example, or *"});
  }
}

bool is_own_host(std::string_view host, std::span<const std::string> names) {
  const std::string_view name = without_port(host);
  if (name.empty()) return false;
  return is_address(name) || is_same_name(name, "localhost") ||
         std::ranges::any_of(names,
                             [&](const std::string& own) { return is_same_name(name, own); });
}

bool is_own_origin(std::string_view origin,
                   std::string_view host,
                   std::span<const std::string> names) {
  if (!is_own_host(host, names)) return false;
  return std::ranges::any_of(
      std::initializer_list<std::string_view>{"http://", "https://"}, [&](std::string_view scheme) {
        return origin.starts_with(scheme) && origin.substr(scheme.size()) == host;
      });
}

}  // namespace dms::serve
