#pragma once
// A chat with a server: which one, and what of the command line it is told.

#include <string>

#include "base/json.h"
#include "cli/chat_options.h"
#include "cli/sampling_options.h"
#include "dms/llm.h"

namespace CLI {
class App;
}

namespace dms::cli {

struct ServerOptions {
  std::string url = {};  // empty: no server
  std::string key = {};
  std::string model = {};  // empty: the first it serves
  int64_t patience_s = 600;
};

/// --url --api-key --model --timeout
void add_server_options(CLI::App& app, ServerOptions& options);
/// Throws InputError where options are given that are nothing to a server, or, without --url, those
/// that are to nobody else.
void check_server_options(const CLI::App& app, const ServerOptions& options);

/// How answers are chosen and their cache is kept, as fields of a request: what was given, and the
/// most tokens.
OrderedJson request_fields(const SamplingOptions& given,
                           const SamplingParams& sampling,
                           const CacheOptions& cache,
                           const ChatOptions& chat);

/// What a conversation begins with.
struct ChatStart {
  std::string load{};      // a file of messages to go on with; empty: none
  std::string document{};  // the name of one of the server's, before the messages; empty: none
};

/// Throws InputError on a bad address or key, RunError where the server does not answer.
void chat_with_server(const ServerOptions& server,
                      const SamplingOptions& sampling,
                      const CacheOptions& cache,
                      const ChatOptions& chat,
                      const ChatStart& start);

}  // namespace dms::cli
