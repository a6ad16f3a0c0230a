#pragma once
// One line on standard error for each request: nothing of its prompt, its query or its key.

#include <chrono>
#include <cstdint>
#include <string>

namespace dms::serve {

struct AccessEntry {
  std::string client{};
  std::string method{};
  std::string path{};
  int status = 0;  // 499: the client went before it had its answer
  std::chrono::steady_clock::duration took{};
  int64_t prompt_tokens = 0;
  int64_t generated_tokens = 0;
};

/// "2026-01-31T12:00:00Z 127.0.0.1 POST /v1/completions 200 35 ms, 12 + 16 tokens": whatever the
/// path holds, it is one line of printable text.
std::string access_line(const AccessEntry& entry, std::chrono::system_clock::time_point now);

}  // namespace dms::serve
