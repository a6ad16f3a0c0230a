#pragma once
// Which endpoint a method and a path mean.

#include <span>
#include <string>
#include <string_view>

#include "serve/api_error.h"

namespace dms::serve {

enum class Endpoint {
  kPage,
  kHealth,
  kLive,
  kVersion,
  kMetrics,
  kModels,
  kModel,
  kChatCompletions,
  kCompletions,
  kResponses,
  kMessages,
  kCountTokens,
  kTokenize,
  kDetokenize,
  kTokenizerInfo,
  kModelReport,
  kSlots,
  kSlotAction,
  kDocuments,
  kDocument,
  kPutDocument,
  kDeleteDocument,
};

struct Route {
  Endpoint endpoint;
  std::string_view method;
  std::string_view path;  // one that ends with '/', but the root, goes on with an argument
  bool is_open = false;   // needs no key
};

struct RouteMatch {
  const Route* route = nullptr;  // null: no such path
  bool is_method_wrong = false;  // `route` is the first of that path
  std::string argument{};
};

RouteMatch find_route(std::string_view method, std::string_view path);

/// How errors look to clients of a path, one that does not exist too.
ErrorForm error_form_of(std::string_view path);

/// "GET, PUT": those that a path answers.
std::string methods_of(std::string_view path);

/// The path of a request's target: without the query, and with what is percent-encoded decoded.
std::string path_of(std::string_view target);
/// What follows its '?'.
std::string query_of(std::string_view target);
/// Of KEY=VALUE&…, decoded; empty where there is none.
std::string query_value(std::string_view query, std::string_view key);

}  // namespace dms::serve
