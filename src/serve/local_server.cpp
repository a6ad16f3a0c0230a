#include "serve/local_server.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <utility>

#include "serve/responses.h"
#include "serve/routes.h"

namespace dms::serve {
namespace {

bool is_called(std::string_view header, std::string_view name) {
  return std::ranges::equal(header, name, [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == b;
  });
}

/// The first of them; empty where there is none.
std::string value_of(const Headers& headers, std::string_view name) {
  const auto found = std::ranges::find_if(
      headers, [&](const auto& header) { return is_called(header.first, name); });
  return found == headers.end() ? std::string() : found->second;
}

Post to(Workers& workers) {
  return [&workers](std::function<void()> call) { workers.post(std::move(call)); };
}

}  // namespace

RequestHead head_of(std::string method, std::string_view target, const Headers& headers) {
  return {.method = std::move(method),
          .path = path_of(target),
          .authorization = value_of(headers, "authorization"),
          .api_key = value_of(headers, "x-api-key"),
          .origin = value_of(headers, "origin"),
          .asked_headers = value_of(headers, "access-control-request-headers"),
          .host = value_of(headers, "host"),
          .query = query_of(target),
          .content_type = value_of(headers, "content-type")};
}

LocalServer::LocalServer(ServerSettings settings,
                         ServedModel model,
                         ServedEngine& engine,
                         std::function<void(const std::string&)> notice)
    : settings_(std::move(settings)),
      model_(std::move(model)),
      documents_(settings_.documents),
      service_(
          settings_,
          model_,
          documents_,
          engine,
          [io = io_](std::function<void()> call) { io->post(std::move(call)); },
          to(worker_),
          to(files_),
          to(compilers_),
          notice) {
  documents_.scan(engine.llm(), notice);
}

void LocalServer::halt() {
  worker_.stop();
  files_.stop();
  compilers_.stop();
  io_->close();
}

std::shared_ptr<LocalExchange> LocalServer::submit(RequestHead head, std::string body) {
  const int64_t number = ++submitted_;
  LocalExchange::Surroundings around{
      .on_news = [this](int64_t news) { news_.push_back(news); },
      .on_end = [this](const RequestHead& ended, int status) { service_.count(ended, status); },
      .headers = service_.headers_for(head),
      .max_untaken_bytes = settings_.max_unread_bytes};
  auto exchange = std::make_shared<LocalExchange>(
      number, std::move(head), std::move(body), io_, std::move(around));
  io_->post([this, exchange] { begin(exchange); });
  return exchange;
}

void LocalServer::begin(const std::shared_ptr<LocalExchange>& exchange) {
  if (exchange->is_closed()) return;
  if (auto response = service_.refuse(exchange->head())) {
    return exchange->respond(std::move(*response));
  }
  if (std::cmp_greater(exchange->body_bytes(), settings_.max_body_bytes)) {
    return respond(*exchange, ApiError(413, "the request's body is too large"));
  }
  service_.handle(exchange);
}

std::vector<int64_t> LocalServer::serve() {
  while (news_.empty()) {
    const std::deque<TaskQueue::Task> tasks = io_->all();
    if (tasks.empty()) break;
    for (const TaskQueue::Task& task : tasks) task();
  }
  return std::exchange(news_, {});
}

void LocalServer::stop(std::string why) {
  io_->post([this, why = std::move(why)] {
    service_.begin_drain();
    service_.cancel_all();
    service_.fail_all(why);
    io_->close();
  });
}

}  // namespace dms::serve
