#include "serve/local_exchange.h"

#include <utility>

namespace dms::serve {

LocalExchange::LocalExchange(int64_t number,
                             RequestHead head,
                             std::string body,
                             std::shared_ptr<TaskQueue> io,
                             Surroundings around)
    : number_(number),
      head_(std::move(head)),
      io_(std::move(io)),
      around_(std::move(around)),
      body_(std::move(body)) {}

LocalAnswer LocalExchange::take() {
  const std::lock_guard lock(mutex_);
  return {.status = answer_.status,
          .headers = std::exchange(answer_.headers, {}),
          .bytes = std::exchange(answer_.bytes, {}),
          .is_over = answer_.is_over,
          .is_lost = answer_.is_lost};
}

void LocalExchange::cancel() {
  io_->post([self = shared_from_this()] {
    if (self->is_closed_) return;
    self->lose();
    if (const auto call = std::exchange(self->on_closed_, {})) call();
  });
}

void LocalExchange::begin(int status, const std::string& content_type, Headers headers) {
  status_ = status;
  if (!content_type.empty()) headers.emplace_back("Content-Type", content_type);
  headers.insert(headers.end(), around_.headers.begin(), around_.headers.end());
  const std::lock_guard lock(mutex_);
  answer_.status = status;
  answer_.headers = std::move(headers);
}

void LocalExchange::respond(HttpResponse response) {
  if (is_closed_) return;
  begin(response.status, response.content_type, std::move(response.headers));
  finish(head_.method == "HEAD" ? std::string_view() : response.body);
}

void LocalExchange::begin_stream() {
  if (is_closed_) return;
  begin(200, "text/event-stream; charset=utf-8", {{"Cache-Control", "no-cache"}});
  around_.on_news(number_);
}

bool LocalExchange::write(std::string_view bytes) {
  if (is_closed_) return false;
  bool is_too_much = false;
  {
    const std::lock_guard lock(mutex_);
    // One piece may be of any size.
    is_too_much = std::cmp_greater(answer_.bytes.size(), around_.max_untaken_bytes);
    if (!is_too_much) answer_.bytes += bytes;
  }
  if (is_too_much) {
    lose();
    return false;
  }
  around_.on_news(number_);
  return true;
}

void LocalExchange::end_stream(std::string_view bytes) {
  if (!is_closed_) finish(bytes);
}

void LocalExchange::finish(std::string_view bytes) {
  {
    const std::lock_guard lock(mutex_);
    answer_.bytes += bytes;
    answer_.is_over = true;
  }
  is_closed_ = true;
  on_closed_ = {};
  around_.on_end(head_, status_);
  around_.on_news(number_);
}

void LocalExchange::lose() {
  constexpr int kClosedByClient = 499;  // nginx's number
  {
    const std::lock_guard lock(mutex_);
    answer_.is_over = answer_.is_lost = true;
  }
  is_closed_ = true;
  around_.on_end(head_, kClosedByClient);
  around_.on_news(number_);
}

}  // namespace dms::serve
