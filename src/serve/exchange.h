#pragma once
// One HTTP request and its answer, as the endpoints see them. Everything here is the I/O thread's.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dms::serve {

using Headers = std::vector<std::pair<std::string, std::string>>;

/// What is known before the body has come.
struct RequestHead {
  std::string method{};
  std::string path{};  // decoded, without the query
  std::string authorization{};
  std::string api_key{};  // x-api-key, as Anthropic's clients send it
  std::string origin{};
  std::string asked_headers{};  // that a web page wants to send
  std::string host{};           // the server, as the client calls it
  std::string query{};
  std::string content_type{};
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body{};
  Headers headers{};
};

class Exchange {
 public:
  virtual ~Exchange() = default;

  virtual const RequestHead& head() const = 0;
  /// The body, once.
  virtual std::string take_body() = 0;

  /// The whole answer; or a stream of server-sent events.
  virtual void respond(HttpResponse response) = 0;
  virtual void begin_stream() = 0;
  /// False: the client is gone, or has left too much unread; it has been given up then.
  virtual bool write(std::string_view bytes) = 0;
  /// With the last of it, which may be of any size, as a whole answer may.
  virtual void end_stream(std::string_view bytes) = 0;

  virtual bool is_closed() const = 0;
  /// Called once where the client goes before it has its answer. Not by write().
  virtual void on_closed(std::function<void()> call) = 0;
  /// For the log.
  virtual void count_tokens(int64_t prompt, int64_t generated) = 0;
};

}  // namespace dms::serve
