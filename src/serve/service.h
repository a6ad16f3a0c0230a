#pragma once
// The endpoints. Everything but what prepares a prompt is done on the I/O thread; that is done on
// another, so that a long one holds up nobody's stream.

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

#include "serve/auth.h"
#include "serve/completion_run.h"
#include "serve/document_endpoints.h"
#include "serve/exchange.h"
#include "serve/metrics.h"
#include "serve/prepared.h"
#include "serve/routes.h"
#include "serve/served_engine.h"
#include "serve/settings.h"
#include "serve/slot_endpoints.h"
#include "serve/workplace.h"

namespace dms::serve {

class Service {
 public:
  /// All of them outlive this. `to_worker` and `to_files` call functions in order, each on one
  /// other thread; `to_compiler` calls those that may take long, on others again.
  Service(const ServerSettings& settings,
          const ServedModel& model,
          Documents& documents,
          ServedEngine& engine,
          Post to_io,
          Post to_worker,
          Post to_files,
          Post to_compiler,
          std::function<void(const std::string&)> notice);

  /// What is wrong with a request before its body has come; nothing: read on.
  std::optional<HttpResponse> refuse(const RequestHead& head) const;
  /// Headers for every answer to a web page that may ask.
  Headers headers_for(const RequestHead& head) const;
  void handle(const std::shared_ptr<Exchange>& exchange);
  void count(const RequestHead& head, int status);

  /// New work is refused from now on.
  void begin_drain() { is_draining_ = true; }
  void cancel_all();
  void fail_all(const std::string& why);
  /// Requests that are prepared or computed.
  size_t active() const {
    return preparing_ + runs_.size() + documents_.active() + slots_.active();
  }
  bool is_draining() const { return is_draining_; }

 private:
  using Prepare = Prepared (*)(std::string_view, const ServedModel&, const Planner&);

  RouteMatch route_of(const RequestHead& head) const;
  bool may_ask(const RequestHead& head) const;
  bool is_called_right(const RequestHead& head) const;
  /// 200: send requests here.
  HttpResponse health() const;
  /// 200: it need not be started again, though it may be loading or about to end.
  HttpResponse liveness() const;
  const char* fault() const;
  OutJson model_entry(const std::string& name) const;
  HttpResponse models() const;
  HttpResponse model(const std::string& name) const;
  HttpResponse metrics();
  HttpResponse report();
  std::optional<ApiError> not_ready() const;
  std::optional<ApiError> unavailable() const;
  void complete(const std::shared_ptr<Exchange>& exchange, Prepare prepare);
  void take(const std::shared_ptr<Exchange>& exchange,
            const std::shared_ptr<std::variant<Prepared, ApiError>>& result,
            std::chrono::steady_clock::time_point arrival);
  void compile(const std::shared_ptr<Exchange>& exchange,
               const std::shared_ptr<std::variant<Prepared, ApiError>>& result,
               std::chrono::steady_clock::time_point arrival);
  void keep(const std::shared_ptr<Exchange>& exchange, const RouteMatch& match);
  void go_on_from_slot(int64_t slot, Request& request);
  void start_from_document(const std::shared_ptr<Exchange>& exchange,
                           Prepared prepared,
                           std::chrono::steady_clock::time_point arrival);
  void start(const std::shared_ptr<Exchange>& exchange,
             Prepared prepared,
             std::chrono::steady_clock::time_point arrival);
  void compute_apart(const std::shared_ptr<Exchange>& exchange,
                     OutJson (*compute)(std::string_view, const ServedModel&, const Documents&));

  const ServerSettings& settings_;
  const ServedModel& model_;
  ServedEngine& engine_;
  Auth auth_;
  std::vector<std::string> names_;
  Metrics metrics_;
  Workplace place_;
  const Documents& store_;
  DocumentEndpoints documents_;
  SlotEndpoints slots_;
  std::set<std::shared_ptr<CompletionRun>> runs_;
  std::set<std::shared_ptr<std::stop_source>> compiling_;  // ends the wait for a form
  size_t preparing_ = 0;
  int64_t answers_ = 0;  // of runs_
  bool is_draining_ = false;
  std::set<std::string> noted_;  // of Prepared::notes: each is told once to who runs the server
};

}  // namespace dms::serve
