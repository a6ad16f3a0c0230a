#include "serve/service.h"

#include <algorithm>
#include <utility>
#include <variant>
#include <vector>

#include "dms/kept_tokens.h"
#include "serve/apis/prepare.h"
#include "serve/attempt.h"
#include "serve/model_report.h"
#include "serve/own_origin.h"
#include "serve/page.h"
#include "serve/responses.h"
#include "serve/token_endpoints.h"

namespace dms::serve {
namespace {

using Clock = std::chrono::steady_clock;

/// So many tokens of a cache can be taken back at once, so that others come in their place.
constexpr int64_t kTakenBack = 32;

HttpResponse status_response(const char* status, int code) {
  return json_response({{"status", status}}, code);
}

}  // namespace

Service::Service(const ServerSettings& settings,
                 const ServedModel& model,
                 Documents& documents,
                 ServedEngine& engine,
                 Post to_io,
                 Post to_worker,
                 Post to_files,
                 Post to_compiler,
                 std::function<void(const std::string&)> notice)
    : settings_(settings),
      model_(model),
      engine_(engine),
      auth_(settings.api_keys, settings.allowed_origins),
      names_(names_of(settings)),
      metrics_(model.facts.names.front()),
      place_{.model = model,
             .engine = engine,
             .to_io = std::move(to_io),
             .to_worker = std::move(to_worker),
             .to_files = std::move(to_files),
             .to_compiler = std::move(to_compiler),
             .notice = std::move(notice),
             .give_way =
                 [this, &documents] {
                   const bool has_slot = slots_.slots().drop_oldest();
                   return documents.drop_oldest() || has_slot;
                 }},
      store_(documents),
      documents_(place_, documents, settings.request_timeout),
      slots_(place_, settings.slots) {}

RouteMatch Service::route_of(const RequestHead& head) const {
  const RouteMatch match = find_route(head.method, head.path);
  const bool is_page = match.route != nullptr && match.route->endpoint == Endpoint::kPage;
  return is_page && !settings_.page ? RouteMatch() : match;
}

bool Service::may_ask(const RequestHead& head) const {
  const bool is_own_page = settings_.page && is_own_origin(head.origin, head.host, names_);
  return is_own_page || auth_.may_ask(head.origin);
}

/// What a page elsewhere has its name point at this machine for, a key protects. A client that
/// names no host is no browser.
bool Service::is_called_right(const RequestHead& head) const {
  if (!settings_.api_keys.empty() || head.host.empty()) return true;
  return std::ranges::find(settings_.allowed_hosts, "*") != settings_.allowed_hosts.end() ||
         is_own_host(head.host, names_);
}

std::optional<HttpResponse> Service::refuse(const RequestHead& head) const {
  const ErrorForm form = error_form_of(head.path);
  if (!is_called_right(head)) {
    return error_response(
        ApiError(403, "the server does not go by this name (Host); see --allowed-host"), form);
  }
  if (!may_ask(head)) {
    return error_response(ApiError(403, "pages of this origin may not ask; see --allow-origin"),
                          form);
  }
  if (head.method == "OPTIONS") return HttpResponse{.status = 204, .content_type = ""};
  const RouteMatch match = route_of(head);
  if (match.route == nullptr) return error_response(ApiError(404, "no such endpoint"), form);
  if (match.is_method_wrong) {
    HttpResponse response = error_response(
        ApiError(405, "this endpoint answers " + methods_of(head.path) + " only"), form);
    response.headers.emplace_back("Allow", methods_of(head.path));
    return response;
  }
  if (match.route->is_open || auth_.has_key(head.authorization, head.api_key)) {
    return std::nullopt;
  }
  return error_response(
      ApiError(401,
               "the key is missing or wrong: send Authorization: Bearer KEY, or x-api-key: KEY",
               {},
               "invalid_api_key"),
      form);
}

Headers Service::headers_for(const RequestHead& head) const {
  if (head.origin.empty() || !auth_.may_ask(head.origin)) return {};
  Headers headers{{"Access-Control-Allow-Origin", head.origin}, {"Vary", "Origin"}};
  if (head.method == "OPTIONS") {
    headers.emplace_back("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE");
    headers.emplace_back("Access-Control-Allow-Headers", allowed_headers(head.asked_headers));
    headers.emplace_back("Access-Control-Max-Age", "600");
  }
  return headers;
}

void Service::handle(const std::shared_ptr<Exchange>& exchange) {
  const RequestHead& head = exchange->head();
  const RouteMatch match = find_route(head.method, head.path);
  switch (match.route->endpoint) {
    case Endpoint::kPage:
      return exchange->respond(page_response());
    case Endpoint::kHealth:
      return exchange->respond(health());
    case Endpoint::kLive:
      return exchange->respond(liveness());
    case Endpoint::kVersion:
      return exchange->respond(json_response({{"version", settings_.version}}));
    case Endpoint::kMetrics:
      return exchange->respond(metrics());
    case Endpoint::kModels:
      return exchange->respond(models());
    case Endpoint::kModel:
      return exchange->respond(model(match.argument));
    case Endpoint::kTokenizerInfo:
      return exchange->respond(json_response(model_.tokenizer_info));
    case Endpoint::kModelReport:
      return exchange->respond(report());
    case Endpoint::kDocuments:
      return exchange->respond(documents_.list());
    case Endpoint::kDocument:
      return exchange->respond(documents_.get(match.argument));
    case Endpoint::kDeleteDocument:
      if (const auto error = not_ready()) return respond(*exchange, *error);
      return documents_.erase(exchange, match.argument);
    case Endpoint::kSlots:
      return exchange->respond(slots_.list());
    case Endpoint::kPutDocument:
    case Endpoint::kSlotAction:
      return keep(exchange, match);
    case Endpoint::kTokenize:
      return compute_apart(exchange, tokenize);
    case Endpoint::kDetokenize:
      return compute_apart(exchange, detokenize);
    case Endpoint::kCountTokens:
      return compute_apart(exchange, count_tokens);
    case Endpoint::kChatCompletions:
      return complete(exchange, prepare_chat);
    case Endpoint::kCompletions:
      return complete(exchange, prepare_completion);
    case Endpoint::kResponses:
      return complete(exchange, prepare_responses);
    case Endpoint::kMessages:
      return complete(exchange, prepare_messages);
  }
}

void Service::count(const RequestHead& head, int status) {
  const RouteMatch match = route_of(head);
  metrics_.http_request(match.route != nullptr ? match.route->path : "other", status);
}

HttpResponse Service::health() const {
  if (const char* why = fault()) return status_response(why, 503);
  if (engine_.state() == ServedEngine::State::kLoading) return status_response("loading", 503);
  return is_draining_ ? status_response("shutting down", 503) : status_response("ok", 200);
}

HttpResponse Service::liveness() const {
  if (const char* why = fault()) return status_response(why, 503);
  return status_response("ok", 200);
}

/// What only another start would end; null: nothing.
const char* Service::fault() const {
  if (engine_.state() == ServedEngine::State::kFailed) return "failed";
  return engine_.pass_age() > settings_.stuck_after ? "stuck" : nullptr;
}

OutJson Service::model_entry(const std::string& name) const {
  return {{"id", name},
          {"object", "model"},
          {"created", model_.created},
          {"owned_by", "dms.cpp"},
          {"root", model_.facts.names.front()},
          {"parent", nullptr},
          {"max_model_len", model_.facts.context}};
}

HttpResponse Service::models() const {
  OutJson data = OutJson::array();
  for (const std::string& name : model_.facts.names) data.push_back(model_entry(name));
  return json_response({{"object", "list"}, {"data", std::move(data)}});
}

HttpResponse Service::model(const std::string& name) const {
  const std::vector<std::string>& names = model_.facts.names;
  if (std::ranges::find(names, name) != names.end()) return json_response(model_entry(name));
  return error_response(unknown_model(name, model_.facts));
}

HttpResponse Service::metrics() {
  const bool is_ready = engine_.state() == ServedEngine::State::kReady;
  HttpResponse response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = metrics_.text({.engine = is_ready ? engine_.llm().stats() : EngineStats(),
                                 .documents = store_.stats(),
                                 .slots = slots_.slots().stats(),
                                 .active = static_cast<int64_t>(active())});
  return response;
}

HttpResponse Service::report() {
  if (const auto error = not_ready()) return error_response(*error);
  return json_response(model_report(engine_.llm(), model_, settings_.version));
}

std::optional<ApiError> Service::not_ready() const {
  if (is_draining_) return ApiError(503, "the server is shutting down");
  if (engine_.state() == ServedEngine::State::kLoading) {
    return ApiError(503, "the model is being loaded");
  }
  return place_.engine_fault();
}

std::optional<ApiError> Service::unavailable() const {
  if (auto error = not_ready()) return error;
  const auto others = static_cast<int64_t>(preparing_ + documents_.active() + slots_.active());
  if (answers_ + others < settings_.most_answers) return std::nullopt;
  return ApiError(429, "too many requests are waiting", {}, "queue_full");
}

/// What asks for the engine.
void Service::keep(const std::shared_ptr<Exchange>& exchange, const RouteMatch& match) {
  if (const auto error = unavailable()) return respond(*exchange, *error);
  if (match.route->endpoint == Endpoint::kPutDocument) {
    documents_.put(exchange, match.argument);
  } else {
    slots_.act(exchange, match.argument);
  }
}

void Service::complete(const std::shared_ptr<Exchange>& exchange, Prepare prepare) {
  if (const auto error = unavailable()) return respond(*exchange, *error);
  ++preparing_;
  const Planner plan{
      .check = [this](const CacheOptions& cache) { return engine_.llm().check(cache); },
      .documents = store_};
  // Only the I/O thread may let go of an exchange: the worker hands it on.
  place_.to_worker([this,
                    exchange,
                    prepare,
                    plan,
                    arrival = Clock::now(),
                    body = exchange->take_body()]() mutable {
    using Result = std::variant<Prepared, ApiError>;
    const auto result = std::make_shared<Result>(attempt([&] {
      Prepared prepared = prepare(body, model_, plan);
      find_structure(prepared, engine_.llm());
      return prepared;
    }));
    place_.to_io([this, exchange = std::move(exchange), result, arrival] {
      take(exchange, result, arrival);
    });
  });
}

/// What the worker made of a request. A form that is not ready is compiled first.
void Service::take(const std::shared_ptr<Exchange>& exchange,
                   const std::shared_ptr<std::variant<Prepared, ApiError>>& result,
                   Clock::time_point arrival) {
  const auto* prepared = std::get_if<Prepared>(&*result);
  const bool is_wanted = !exchange->is_closed();
  if (is_wanted && prepared != nullptr && wants_structure(*prepared) &&
      prepared->requests.front().sampling.structure.compiled == nullptr) {
    return compile(exchange, result, arrival);
  }
  --preparing_;
  if (!is_wanted) return;
  if (const auto* error = std::get_if<ApiError>(&*result)) return respond(*exchange, *error);
  start_from_document(exchange, std::move(std::get<Prepared>(*result)), arrival);
}

/// A stranger's schema may take long: it keeps nobody from anything but others with a form, and
/// from that only as long as its client waits.
void Service::compile(const std::shared_ptr<Exchange>& exchange,
                      const std::shared_ptr<std::variant<Prepared, ApiError>>& result,
                      Clock::time_point arrival) {
  const auto giving_up = std::make_shared<std::stop_source>();
  compiling_.insert(giving_up);
  exchange->on_closed([giving_up] { giving_up->request_stop(); });
  place_.to_compiler([this, exchange, result, arrival, giving_up]() mutable {
    const auto compiled = attempt([&] {
      compile_structure(std::get<Prepared>(*result), engine_.llm(), giving_up->get_token());
      return true;
    });
    if (const auto* error = std::get_if<ApiError>(&compiled)) {
      *result = std::get<Prepared>(*result).in_callers_words(*error);
    }
    place_.to_io([this, exchange = std::move(exchange), result, arrival, giving_up] {
      compiling_.erase(giving_up);
      exchange->on_closed({});
      take(exchange, result, arrival);
    });
  });
}

/// Once the cache of its document, if it names one, is in memory.
void Service::start_from_document(const std::shared_ptr<Exchange>& exchange,
                                  Prepared prepared,
                                  Clock::time_point arrival) {
  if (!prepared.document) return start(exchange, std::move(prepared), arrival);
  const EntryPointer entry = prepared.document;
  const auto waiting = std::make_shared<Prepared>(std::move(prepared));
  documents_.with_cache(entry, [this, exchange, waiting, arrival](const Attempt<Document>& cache) {
    if (exchange->is_closed()) return;
    if (const auto* error = std::get_if<ApiError>(&cache)) return respond(*exchange, *error);
    for (Request& request : waiting->requests) request.document = std::get<Document>(cache);
    start(exchange, std::move(*waiting), arrival);
  });
}

void Service::start(const std::shared_ptr<Exchange>& exchange,
                    Prepared prepared,
                    Clock::time_point arrival) {
  if (const auto error = place_.engine_fault()) return respond(*exchange, *error);
  const CacheOptions& cache = prepared.requests.front().cache;
  const std::string policy = cache.policy.empty() ? engine_.llm().info().policy : cache.policy;
  const Request& longest = *std::ranges::max_element(
      prepared.requests, {}, [](const Request& request) { return request.prompt.size(); });
  const std::string_view known = note_on_prompt(policy, cache, std::ssize(longest.prompt));
  if (!known.empty()) prepared.notes.emplace_back(known);
  for (const std::string& note : prepared.notes) {
    if (noted_.insert(note).second) place_.notice(note);
  }
  if (settings_.request_timeout.count() > 0) {
    for (Request& request : prepared.requests) {
      request.deadline = arrival + settings_.request_timeout;
    }
  }
  const auto in_callers_words = prepared.in_callers_words;
  const std::optional<int64_t> slot = prepared.slot;
  if (slot) go_on_from_slot(*slot, prepared.requests.front());
  const auto run = std::make_shared<CompletionRun>(
      CompletionRun::Surroundings{
          .llm = engine_.llm(),
          .metrics = metrics_,
          .post = place_.to_io,
          .on_end =
              [this](CompletionRun& ended) {
                answers_ -= ended.answers();
                runs_.erase(ended.shared_from_this());
              },
          .error_of = [this](const Generation& result) { return place_.error_of(result); },
          .keep = [this,
                   slot](Document document) { slots_.slots().keep(*slot, std::move(document)); }},
      exchange,
      std::move(prepared),
      arrival);
  const auto started = attempt([&] {
    run->start();
    return true;
  });
  if (const auto* error = std::get_if<ApiError>(&started)) {
    return respond(*exchange, in_callers_words(*error));
  }
  runs_.insert(run);
  answers_ += run->answers();
}

/// Rather than from a document where the slot has all of that and more.
void Service::go_on_from_slot(int64_t slot, Request& request) {
  request.keeps_document = true;
  const auto held = slots_.slots().beginning_of(slot, request.cache);
  if (!held) return slots_.slots().count_request(false);
  const auto ids = held->ids();
  const int64_t common = std::ranges::mismatch(ids, request.prompt).in1 - ids.begin();
  const bool has_all = common == held->tokens();
  const bool is_chosen =
      !request.document || (has_all && held->tokens() >= request.document->tokens());
  if (is_chosen) request.document = held;
  slots_.slots().count_request(is_chosen && common > 0 && held->tokens() - common <= kTakenBack);
}

void Service::compute_apart(const std::shared_ptr<Exchange>& exchange,
                            OutJson (*compute)(std::string_view,
                                               const ServedModel&,
                                               const Documents&)) {
  ++preparing_;
  place_.to_worker([this, exchange, compute, body = exchange->take_body()]() mutable {
    const auto result = std::make_shared<std::variant<OutJson, ApiError>>(
        attempt([&] { return compute(body, model_, store_); }));
    place_.to_io([this, exchange = std::move(exchange), result] {
      --preparing_;
      if (exchange->is_closed()) return;
      if (const auto* error = std::get_if<ApiError>(&*result)) return respond(*exchange, *error);
      exchange->respond(json_response(std::get<OutJson>(*result)));
    });
  });
}

void Service::cancel_all() {
  for (const auto& run : runs_) run->cancel();
  for (const auto& giving_up : compiling_) giving_up->request_stop();
  documents_.cancel_all();
}

void Service::fail_all(const std::string& why) {
  for (const auto& run : std::vector(runs_.begin(), runs_.end())) run->fail(why);
  documents_.fail_all(why);
  slots_.fail_all(why);
}

}  // namespace dms::serve
