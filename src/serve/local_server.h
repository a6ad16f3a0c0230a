#pragma once
// The endpoints for the process they are in: requests are handed in and answers fetched, without a
// socket or a thread that computes. The caller lends the thread that is the I/O thread.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "serve/documents.h"
#include "serve/local_exchange.h"
#include "serve/prepared.h"
#include "serve/served_engine.h"
#include "serve/service.h"
#include "serve/settings.h"
#include "serve/task_queue.h"

namespace dms::serve {

/// As a request's head has them: "POST", "/documents/a%20b?x=1", and headers in any case.
RequestHead head_of(std::string method, std::string_view target, const Headers& headers);

class LocalServer {
 public:
  /// Of the settings, those that are about connections mean nothing here. `engine` is ready.
  /// `notice`: any thread.
  LocalServer(ServerSettings settings,
              ServedModel model,
              ServedEngine& engine,
              std::function<void(const std::string&)> notice);
  /// After halt(), and after the engine's end: what it was asked to do comes back to this.
  ~LocalServer() { halt(); }
  LocalServer(const LocalServer&) = delete;
  LocalServer& operator=(const LocalServer&) = delete;

  /// Takes a request in, or refuses it: that is an answer too. Any thread.
  std::shared_ptr<LocalExchange> submit(RequestHead head, std::string body);

  /// The loop of the I/O thread: does what is to be done there, and returns the numbers of requests
  /// that there is something new of; none once it was stopped.
  std::vector<int64_t> serve();
  /// All requests end, with `why` where they have no answer; then serve() does. Any thread.
  void stop(std::string why);
  /// Ends the threads of this, which call into the engine, before it ends. No serve() is under way.
  void halt();

 private:
  void begin(const std::shared_ptr<LocalExchange>& exchange);

  const ServerSettings settings_;
  const ServedModel model_;
  Documents documents_;
  std::shared_ptr<TaskQueue> io_ = std::make_shared<TaskQueue>();  // requests post there too
  Workers worker_{1};
  Workers files_{1};
  Workers compilers_{4};  // they wait more than they compute
  Service service_;
  std::atomic<int64_t> submitted_ = 0;
  std::vector<int64_t> news_;  // the I/O thread's
};

}  // namespace dms::serve
