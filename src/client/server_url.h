#pragma once
// The address of a server of OpenAI's API.

#include <string>
#include <string_view>

namespace dms::client {

struct ServerUrl {
  std::string host;  // a name or an address, IPv6 without brackets
  std::string port = "80";
  std::string base = "/v1";  // what paths of the API begin with

  /// As a request's Host header has it.
  std::string authority() const;
  /// Of a path below the base: "/chat/completions".
  std::string target(std::string_view path) const { return base + std::string(path); }
  std::string text() const { return "http://" + authority() + base; }
};

/// "http://HOST[:PORT][/BASE]"; without a base it is /v1. `option` names it in errors. Throws
/// InputError on anything else, https among it.
ServerUrl parse_server_url(std::string_view text, const std::string& option);

}  // namespace dms::client
