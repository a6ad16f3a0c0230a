#pragma once
// The server as a whole: listens at once, reads the weights meanwhile, and ends in good order.

#include <functional>
#include <string>

#include "dms/llm.h"
#include "serve/prepared.h"
#include "serve/settings.h"

namespace dms::serve {

struct ServerEvents {
  std::function<void(const std::string& url)> on_listening{};
  std::function<void(const LLM& llm)> on_ready{};
  std::function<void(const std::string&)> on_notice = [](const std::string&) {};  // any thread
};

/// Serves until SIGTERM or SIGINT: then it accepts nothing more, finishes what runs within
/// drain_timeout, cancels the rest and returns. A second signal ends the process. Throws InputError
/// where it cannot listen, and whatever `load` (called on another thread) or a pass throws.
void run_server(const ServerSettings& settings,
                const ServedModel& model,
                std::function<LLM()> load,
                const ServerEvents& events);

}  // namespace dms::serve
