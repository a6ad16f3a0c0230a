#pragma once
// One HTTP request and its answer, over a connection of its own. Memory and time are bounded,
// whatever the server does.

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "client/server_url.h"

namespace dms::client {

struct HttpRequest {
  std::string method = "GET";
  std::string target;
  std::string key{};   // sent as a bearer's token; empty: none
  std::string body{};  // JSON; empty: none
};

struct HttpHead {
  int status = 0;
  std::string content_type;
};

struct HttpReceiver {
  /// Once, before the body.
  std::function<void(const HttpHead& head)> on_head;
  /// A piece of the body; false: enough.
  std::function<bool(std::string_view bytes)> on_body;
  /// Several times a second while nothing comes; false: enough. May be empty.
  std::function<bool()> on_wait;
};

/// Ends when the answer has, or the receiver has had enough. Throws RunError where the server
/// cannot be reached, breaks off, does not speak HTTP or is silent for longer than `patience`; and
/// what the receiver throws.
void exchange(const ServerUrl& url,
              const HttpRequest& request,
              std::chrono::seconds patience,
              const HttpReceiver& receiver);

}  // namespace dms::client
