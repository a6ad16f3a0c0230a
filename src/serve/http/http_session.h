#pragma once
// One connection: reads requests one after the other (http_session.cpp), hands each to the service,
// writes the answer (http_answer.cpp). Everything is the I/O thread's.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "serve/exchange.h"
#include "serve/http/connection_watch.h"
#include "serve/settings.h"

namespace dms::serve {

class HttpSession;
class Service;

/// What all connections share.
struct Connections {
  const ServerSettings& settings;
  Service& service;
  ConnectionWatch watch;
  std::set<HttpSession*> open{};

  /// Those that wait for a request. The others close when they have answered.
  void close_idle();
};

class HttpSession final : public Exchange,
                          public ConnectionWatch::Watched,
                          public std::enable_shared_from_this<HttpSession> {
 public:
  HttpSession(boost::asio::ip::tcp::socket socket, std::shared_ptr<Connections> connections);
  ~HttpSession() override;

  void run();
  void close_if_idle();

  const RequestHead& head() const override { return head_; }
  std::string take_body() override;
  void respond(HttpResponse response) override;
  void begin_stream() override;
  bool write(std::string_view bytes) override;
  void end_stream(std::string_view bytes) override;
  bool is_closed() const override { return is_closed_; }
  void on_closed(std::function<void()> call) override { on_closed_ = std::move(call); }
  void count_tokens(int64_t prompt, int64_t generated) override;
  void on_peer_gone() override { lose(); }

 private:
  using ErrorCode = boost::beast::error_code;
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  void wait_for_request(std::chrono::seconds patience);
  void read_head();
  void take_head();
  void tell_to_continue();
  void read_body();
  void handle();
  void refuse_malformed(const ErrorCode& error);

  std::string head_text(const HttpResponse& response) const;
  void flush();
  void end_request();
  void log(int status) const;
  /// Says that nothing more comes, and reads what the client still sends: to close on unread bytes
  /// would take the answer from it.
  void linger();
  void read_waste();
  /// The client is gone, or given up.
  void lose();
  void close();

  boost::beast::tcp_stream stream_;
  std::shared_ptr<Connections> connections_;
  int descriptor_;
  std::string client_;
  boost::beast::flat_buffer buffer_;
  std::string waste_;
  std::optional<Parser> parser_;
  RequestHead head_;
  std::function<void()> on_closed_;
  std::chrono::steady_clock::time_point began_{};
  int status_ = 0;  // of the answer that is written
  int64_t prompt_tokens_ = 0;
  int64_t generated_tokens_ = 0;
  std::string pending_;       // to be written
  std::string in_flight_;     // being written
  size_t largest_piece_ = 0;  // of a stream, since all was written
  bool is_writing_ = false;
  bool is_idle_ = false;      // waits for a request
  bool is_old_ = false;       // HTTP/1.0 knows no chunks
  bool has_all_ = false;      // the answer ends with pending_
  bool keeps_alive_ = false;  // after this answer
  bool is_closed_ = false;
};

}  // namespace dms::serve
