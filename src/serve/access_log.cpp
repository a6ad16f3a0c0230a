#include "serve/access_log.h"

#include <ctime>

#include "base/terminal_text.h"
#include "base/utf8.h"

namespace dms::serve {
namespace {

constexpr size_t kLongestPath = 120;
constexpr size_t kLongestMethod = 16;

std::string timestamp(std::chrono::system_clock::time_point now) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[sizeof "2026-01-31T12:00:00Z"];
  const size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text, length};
}

/// Newlines and tabs are escaped too: they would make another line of it.
std::string shown(const std::string& text, size_t longest) {
  std::string out;
  for (const char c : escape_controls(to_well_formed(text.substr(0, longest)))) {
    out += c == '\n' || c == '\t' || c == ' ' ? '?' : c;
  }
  return text.size() > longest ? out + "..." : out;
}

}  // namespace

std::string access_line(const AccessEntry& entry, std::chrono::system_clock::time_point now) {
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(entry.took).count();
  std::string line = timestamp(now) + " " + entry.client + " " +
                     shown(entry.method, kLongestMethod) + " " + shown(entry.path, kLongestPath) +
                     " " + std::to_string(entry.status) + " " + std::to_string(took) + " ms";
  if (entry.prompt_tokens + entry.generated_tokens > 0) {
    line += ", " + std::to_string(entry.prompt_tokens) + " + " +
            std::to_string(entry.generated_tokens) + " tokens";
  }
  return line;
}

}  // namespace dms::serve
