#include "client/server_url.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "dms/error.h"

namespace dms::client {
namespace {

constexpr std::string_view kScheme = "http://";
constexpr std::string_view kSecureScheme = "https://";
constexpr size_t kLongest = 2048;
constexpr size_t kLongestQuote = 100;
constexpr size_t kLongestHost = 253;
constexpr const char* kForm = "http://HOST[:PORT][/BASE]";

/// Schemes may be written in either case.
bool begins_with(std::string_view text, std::string_view scheme) {
  const auto is_same = [](char ours, char given) {
    return ours == (given >= 'A' && given <= 'Z' ? given + ('a' - 'A') : given);
  };
  return text.size() >= scheme.size() &&
         std::equal(scheme.begin(), scheme.end(), text.begin(), is_same);
}

bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool consists_of(std::string_view text, std::string_view others) {
  return std::ranges::all_of(text, [others](char c) {
    return is_alphanumeric(c) || others.find(c) != std::string_view::npos;
  });
}

class Reader {
 public:
  Reader(std::string_view text, const std::string& option) : text_(text), option_(option) {}

  ServerUrl read() const {
    if (begins_with(text_, kSecureScheme)) {
      throw InputError({.where = option_,
                        .what = "https is not spoken here",
                        .expected = kForm,
                        .hint = "put a proxy that speaks it in between"});
    }
    if (!begins_with(text_, kScheme)) refuse("is no address of a server");
    if (text_.size() > kLongest) refuse("is too long");
    const std::string_view rest = text_.substr(kScheme.size());
    const size_t slash = std::min(rest.find_first_of("/?#"), rest.size());
    ServerUrl url;
    read_authority(rest.substr(0, slash), url);
    read_base(rest.substr(slash), url);
    return url;
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw InputError({.where = option_,
                      .what = what,
                      .got = std::string(text_.substr(0, kLongestQuote)),
                      .expected = kForm});
  }

  void read_authority(std::string_view text, ServerUrl& url) const {
    if (text.find('@') != std::string_view::npos) {
      throw InputError({.where = option_,
                        .what = "holds a user's name",
                        .expected = kForm,
                        .hint = "give a key with --api-key or DMS_API_KEY"});
    }
    const bool is_bracketed = text.starts_with('[');
    const size_t begin = is_bracketed ? 1 : 0;
    const size_t end = text.find(is_bracketed ? ']' : ':');
    if (is_bracketed && end == std::string_view::npos) refuse("has a bracket without its other");
    url.host = text.substr(begin, std::min(end, text.size()) - begin);
    text.remove_prefix(std::min(end == std::string_view::npos ? end : end + begin, text.size()));
    const std::string_view others = is_bracketed ? ":.%" : "-._";
    if (url.host.empty() || url.host.size() > kLongestHost || !consists_of(url.host, others)) {
      refuse("names no host");
    }
    if (!text.empty()) read_port(text, url);
  }

  void read_port(std::string_view text, ServerUrl& url) const {
    uint16_t port = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + 1, end, port);
    if (text.front() != ':' || error != std::errc() || stop != end || port == 0) {
      refuse("names no port from 1 to 65535");
    }
    url.port = std::to_string(port);
  }

  void read_base(std::string_view text, ServerUrl& url) const {
    if (!consists_of(text, "/-._~%!$&'()*+,;=:@")) {
      refuse("has a path that is more than a path");
    }
    while (text.ends_with('/')) text.remove_suffix(1);
    if (!text.empty()) url.base = text;
  }

  std::string_view text_;
  const std::string& option_;
};

}  // namespace

std::string ServerUrl::authority() const {
  const bool is_ipv6 = host.find(':') != std::string::npos;
  return (is_ipv6 ? "[" + host + "]" : host) + ":" + port;
}

ServerUrl parse_server_url(std::string_view text, const std::string& option) {
  return Reader(text, option).read();
}

}  // namespace dms::client
