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
};

bool fits(const Route& route, std::string_view path) {
  if (route.path == "/" || !route.path.ends_with('/')) return path == route.path;
  return path.starts_with(route.path) && path.size() > route.path.size();
}

}  // namespace

RouteMatch find_route(std::string_view method, std::string_view path) {
  const auto* route =
      std::ranges::find_if(kRoutes, [&](const Route& candidate) { return fits(candidate, path); });
  if (route == kRoutes.end()) return {};
  return {.route = route,
          .is_method_wrong = method != route->method,
          .argument = std::string(path.substr(std::min(route->path.size(), path.size())))};
}

ErrorForm error_form_of(std::string_view path) {
  constexpr std::string_view kMessages = "/v1/messages";
  const bool is_below = path.starts_with(kMessages) &&
                        (path.size() == kMessages.size() || path[kMessages.size()] == '/');
  return is_below ? ErrorForm::kAnthropic : ErrorForm::kOpenAi;
}

std::string path_of(std::string_view target) {
  constexpr int kHex = 16;
  target = target.substr(0, target.find('?'));
  std::string path;
  for (size_t at = 0; at < target.size(); ++at) {
    unsigned value = 0;
    const char* begin = target.data() + at + 1;
    const bool is_code = target[at] == '%' && at + 2 < target.size() &&
                         std::from_chars(begin, begin + 2, value, kHex).ptr == begin + 2;
    path += is_code ? static_cast<char>(value) : target[at];
    if (is_code) at += 2;
  }
  return path;
}

}  // namespace dms::serve
