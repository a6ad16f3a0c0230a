#pragma once
// OpenAI's chat API from the side of those who ask.

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "client/server_url.h"

namespace dms::client {

/// What the server counted; `dms`, where it is one of ours, what the answer's cache held.
struct ApiUsage {
  struct Cache {
    int64_t dense_tokens = 0;
    int64_t held_tokens = 0;
    int64_t bytes = 0;
  };
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of prompt_tokens
  int64_t completion_tokens = 0;
  std::optional<Cache> dms{};
};

struct ApiAnswer {
  std::string text;
  std::string finish_reason{};  // empty: the reader had enough
  std::optional<ApiUsage> usage{};
};

struct AnswerReader {
  /// A piece of what the model thinks before it answers, or of the answer; false: enough.
  std::function<bool(std::string_view piece, bool is_thought)> on_text;
  /// Several times a second while nothing comes; false: enough. May be empty.
  std::function<bool()> on_wait;
};

class ApiClient {
 public:
  /// The key is sent with each request; empty: none. Silence for longer than `patience` is an
  /// error.
  ApiClient(ServerUrl url, std::string key, std::chrono::seconds patience)
      : url_(std::move(url)), key_(std::move(key)), patience_(patience) {}

  const ServerUrl& url() const { return url_; }

  /// The id of the first model served. Throws RunError where there is no answer or none that says
  /// so.
  std::string first_model() const;

  /// Asks for the completion of a chat; `body` is the request's JSON, which must ask for a stream.
  /// Throws RunError where the server refuses, fails, or answers what is no such stream.
  ApiAnswer chat(const std::string& body, const AnswerReader& reader) const;

 private:
  ServerUrl url_;
  std::string key_;
  std::chrono::seconds patience_;
};

}  // namespace dms::client
