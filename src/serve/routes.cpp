#include "serve/routes.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace dms::serve {
namespace {

constexpr std::array kRoutes{
    Route{Endpoint::kPage, "GET", "/", true},
    Route{Endpoint::kPage, "GET", "/index.html", true},
    Route{Endpoint::kHealth, "GET", "/health", true},
    Route{Endpoint::kLive, "GET", "/livez", true},
    Route{Endpoint::kVersion, "GET", "/version", true},
    Route{Endpoint::kMetrics, "GET", "/metrics"},
    Route{Endpoint::kModels, "GET", "/v1/models"},
    Route{Endpoint::kModel, "GET", "/v1/models/"},
    Route{Endpoint::kChatCompletions, "POST", "/v1/chat/completions"},
    Route{Endpoint::kCompletions, "POST", "/v1/completions"},
    Route{Endpoint::kResponses, "POST", "/v1/responses"},
    Route{Endpoint::kMessages, "POST", "/v1/messages"},
    Route{Endpoint::kCountTokens, "POST", "/v1/messages/count_tokens"},
    Route{Endpoint::kTokenize, "POST", "/tokenize"},
    Route{Endpoint::kDetokenize, "POST", "/detokenize"},
    Route{Endpoint::kTokenizerInfo, "GET", "/tokenizer_info"},
    Route{Endpoint::kModelReport, "GET", "/dms/info"},
    Route{Endpoint::kSlots, "GET", "/slots"},
    Route{Endpoint::kSlotAction, "POST", "/slots/"},
    Route{Endpoint::kDocuments, "GET", "/documents"},
    Route{Endpoint::kDocument, "GET", "/documents/"},
    Route{Endpoint::kPutDocument, "PUT", "/documents/"},
    Route{Endpoint::kDeleteDocument, "DELETE", "/documents/"},
};

bool fits(const Route& route, std::string_view path) {
  if (route.path == "/" || !route.path.ends_with('/')) return path == route.path;
  return path.starts_with(route.path) && path.size() > route.path.size();
}

/// What is percent-encoded, decoded.
std::string decoded(std::string_view text) {
  constexpr int kHex = 16;
  std::string out;
  for (size_t at = 0; at < text.size(); ++at) {
    unsigned value = 0;
    const char* begin = text.data() + at + 1;
    const bool is_code = text[at] == '%' && at + 2 < text.size() &&
                         std::from_chars(begin, begin + 2, value, kHex).ptr == begin + 2;
    out += is_code ? static_cast<char>(value) : text[at];
    if (is_code) at += 2;
  }
  return out;
}

}  // namespace

RouteMatch find_route(std::string_view method, std::string_view path) {
  const std::string_view asked = method == "HEAD" ? "GET" : method;  // the same without its body
  RouteMatch match;
  for (const Route& route : kRoutes) {
    if (!fits(route, path)) continue;
    if (match.route == nullptr) match.route = &route;
    match.is_method_wrong = asked != route.method;
    if (match.is_method_wrong) continue;
    match.route = &route;
    break;
  }
  if (match.route == nullptr) return {};
  match.argument = path.substr(std::min(match.route->path.size(), path.size()));
  return match;
}

ErrorForm error_form_of(std::string_view path) {
  constexpr std::string_view kMessages = "/v1/messages";
  const bool is_below = path.starts_with(kMessages) &&
                        (path.size() == kMessages.size() || path[kMessages.size()] == '/');
  return is_below ? ErrorForm::kAnthropic : ErrorForm::kOpenAi;
}

std::string methods_of(std::string_view path) {
  std::string methods;
  for (const Route& route : kRoutes) {
    if (!fits(route, path)) continue;
    methods += (methods.empty() ? "" : ", ") + std::string(route.method);
    if (route.method == "GET") methods += ", HEAD";
  }
  return methods;
}

std::string path_of(std::string_view target) { return decoded(target.substr(0, target.find('?'))); }

std::string query_of(std::string_view target) {
  const size_t at = target.find('?');
  return std::string(at == std::string_view::npos ? "" : target.substr(at + 1));
}

std::string query_value(std::string_view query, std::string_view key) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    const size_t equals = pair.find('=');
    if (equals != std::string_view::npos && pair.substr(0, equals) == key) {
      return decoded(pair.substr(equals + 1));
    }
  }
  return {};
}

}  // namespace dms::serve
