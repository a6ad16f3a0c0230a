#pragma once
// A request of this very process: what the endpoints say to it lies here until whoever asked takes
// it.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "serve/exchange.h"
#include "serve/task_queue.h"

namespace dms::serve {

/// What is new of an answer.
struct LocalAnswer {
  int status = 0;        // 0: nothing is known yet
  Headers headers{};     // the first time that there is a status
  std::string bytes{};   // of the body, since the last look
  bool is_over = false;  // nothing will come any more
  bool is_lost = false;  // although it was not all: it was cancelled, or too much was left untaken
};

class LocalExchange final : public Exchange, public std::enable_shared_from_this<LocalExchange> {
 public:
  /// The I/O thread's; they are called as long as the server lives.
  struct Surroundings {
    std::function<void(int64_t number)> on_news;
    std::function<void(const RequestHead& head, int status)> on_end;
    Headers headers{};  // of any answer
    int64_t max_untaken_bytes = 0;
  };

  /// `io`: the I/O thread's tasks.
  LocalExchange(int64_t number,
                RequestHead head,
                std::string body,
                std::shared_ptr<TaskQueue> io,
                Surroundings around);

  /// These are for whoever asked, on any thread.
  int64_t number() const { return number_; }
  LocalAnswer take();
  void cancel();

  const RequestHead& head() const override { return head_; }
  std::string take_body() override { return std::move(body_); }
  void respond(HttpResponse response) override;
  void begin_stream() override;
  bool write(std::string_view bytes) override;
  void end_stream(std::string_view bytes) override;
  size_t body_bytes() const { return body_.size(); }
  bool is_closed() const override { return is_closed_; }
  void on_closed(std::function<void()> call) override { on_closed_ = std::move(call); }
  void count_tokens(int64_t /*prompt*/, int64_t /*generated*/) override {}

 private:
  void begin(int status, const std::string& content_type, Headers headers);
  void finish(std::string_view bytes);
  void lose();

  const int64_t number_;
  const RequestHead head_;
  const std::shared_ptr<TaskQueue> io_;
  Surroundings around_;
  std::string body_;
  std::function<void()> on_closed_;
  int status_ = 0;
  bool is_closed_ = false;  // it has its answer, or nobody wants it

  std::mutex mutex_;  // guards what follows
  LocalAnswer answer_;
};

}  // namespace dms::serve
