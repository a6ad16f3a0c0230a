#pragma once
// How the server is run. Paths and keys come from the command line alone, never from a request.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace dms::serve {

struct DocumentSettings {
  std::filesystem::path folder{};  // empty: they are in memory alone
  bool is_shared = false;          // others write there too: what lies there now counts
  int64_t most = 64;
  int64_t memory_bytes = 0;  // of caches that are in memory, at most
};

struct SlotSettings {
  std::filesystem::path folder{};  // empty: none is saved or restored
  int64_t count = 8;
  int64_t memory_bytes = 0;  // of all together, at most
};

struct ServerSettings {
  std::string host = "127.0.0.1";
  int64_t port = 8000;  // 0: any that is free
  std::vector<std::string> api_keys{};
  std::vector<std::string> allowed_origins{};
  std::vector<std::string> allowed_hosts{};  // names it goes by besides its own; "*": by any
  std::string version{};
  bool access_log = true;
  bool page = true;  // "/" answers with the page for a browser

  DocumentSettings documents{};
  SlotSettings slots{};

  int64_t most_answers = 64 + 256;  // computed and waiting together; beyond it requests get 429
  int64_t max_body_bytes = int64_t{1} << 24;
  int64_t max_head_bytes = int64_t{1} << 14;
  int64_t max_unread_bytes = int64_t{1} << 20;  // of a stream that its client leaves unread
  int64_t max_connections = 4096;
  std::chrono::seconds read_timeout{30};    // for a request's head, and for its body
  std::chrono::seconds write_timeout{30};   // for what the client does not take
  std::chrono::seconds idle_timeout{75};    // between two requests
  std::chrono::seconds drain_timeout{30};   // for running requests, once the server is to end
  std::chrono::seconds request_timeout{0};  // for a request as a whole; 0: none
  std::chrono::seconds stuck_after{300};    // a pass that takes longer is a fault
};

}  // namespace dms::serve
