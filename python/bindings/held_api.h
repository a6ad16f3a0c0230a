#pragma once
// The server's endpoints over a model that Python computes.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "driver.h"
#include "serve/local_server.h"
#include "serve/served_model.h"

namespace dms::python {

/// Whoever steps the driver computes its passes.
class DriverEngine final : public serve::ServedEngine {
 public:
  explicit DriverEngine(Driver& driver) : driver_(driver) {}

  State state() const override { return has_ended_ ? State::kFailed : State::kReady; }
  LLM& llm() override { return driver_.llm(); }
  std::chrono::steady_clock::duration pass_age() const override { return driver_.pass_age(); }
  /// Nobody will compute anything any more.
  void end() { has_ended_ = true; }

 private:
  Driver& driver_;
  std::atomic<bool> has_ended_ = false;
};

/// All functions are called without Python's lock.
class HeldApi {
 public:
  /// Throws as serve::describe_model(). The endpoints live as long as the driver: what they had the
  /// engine do may come back to them until then.
  HeldApi(std::shared_ptr<Driver> driver,
          serve::ServerSettings settings,
          const serve::ServedOptions& options,
          const CacheOptions& cache);

  std::shared_ptr<serve::LocalExchange> submit(serve::RequestHead head, std::string body) {
    return parts_->server.submit(std::move(head), std::move(body));
  }
  std::vector<int64_t> serve() { return parts_->server.serve(); }
  void stop(std::string why) {
    parts_->engine.end();
    parts_->server.stop(std::move(why));
  }

 private:
  struct Parts {
    DriverEngine engine;
    serve::LocalServer server;
    Parts(Driver& driver, serve::ServerSettings settings, serve::ServedModel model);
  };

  std::shared_ptr<Driver> driver_;
  std::shared_ptr<Parts> parts_;
};

}  // namespace dms::python
