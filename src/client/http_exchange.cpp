#include "client/http_exchange.h"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>

#include "dms/error.h"

namespace dms::client {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
using Tcp = asio::ip::tcp;

namespace {

constexpr std::chrono::milliseconds kLook{50};
constexpr std::chrono::seconds kConnectPatience{30};
constexpr uint32_t kMostHeadBytes = uint32_t{1} << 16;
constexpr uint64_t kMostBodyBytes = uint64_t{1} << 30;  // that of a stream is never held whole
constexpr size_t kPieceBytes = size_t{1} << 14;

std::string request_text(const ServerUrl& url, const HttpRequest& request) {
  std::string text = request.method + " " + request.target + " HTTP/1.1\r\n";
  text += "Host: " + url.authority() + "\r\nConnection: close\r\nUser-Agent: dms\r\n";
  text += "Accept: application/json, text/event-stream\r\n";
  if (!request.key.empty()) text += "Authorization: Bearer " + request.key + "\r\n";
  if (!request.body.empty()) {
    text += "Content-Type: application/json\r\n";
    text += "Content-Length: " + std::to_string(request.body.size()) + "\r\n";
  }
  return text + "\r\n" + request.body;
}

/// An operation that has been begun. Shared with its handler, which may outlive the exchange: a
/// name's resolution cannot be called off.
struct Operation {
  bool is_done = false;
  error_code error{};
  Tcp::resolver::results_type found{};
};

class Exchange {
 public:
  Exchange(const ServerUrl& url, std::chrono::seconds patience, const HttpReceiver& receiver)
      : url_(url), patience_(patience), receiver_(receiver), resolver_(io()), socket_(io()) {
    parser_.header_limit(kMostHeadBytes);
    parser_.body_limit(kMostBodyBytes);
  }

  /// Handlers refer to this object.
  ~Exchange() {
    error_code ignored;
    socket_.close(ignored);
    while (pending_ > 0) {
      io().restart();
      io().run_one();
    }
  }

  void run(const HttpRequest& request) {
    if (!connect()) return;
    // A server may answer before it has read everything, and read no more of it.
    request_ = request_text(url_, request);
    ++pending_;
    asio::async_write(
        socket_, asio::buffer(request_), [this](const error_code&, size_t) { --pending_; });
    if (!read_head()) return;
    receiver_.on_head({.status = static_cast<int>(parser_.get().result_int()),
                       .content_type = text_of(parser_.get()[http::field::content_type])});
    read_body();
  }

 private:
  static asio::io_context& io() {
    static asio::io_context io;  // a resolution that was given up ends in it, some time
    return io;
  }

  static std::string text_of(boost::beast::string_view text) { return {text.data(), text.size()}; }

  [[noreturn]] void fail(const std::string& what) const {
    throw RunError({.where = url_.text(), .what = what});
  }

  /// False: the receiver has had enough.
  bool wait_for(const Operation& operation, std::chrono::seconds patience, const char* whom) {
    const Clock::time_point end = Clock::now() + patience;
    while (!operation.is_done) {
      io().restart();
      io().run_one_for(kLook);
      if (operation.is_done) break;
      if (receiver_.on_wait && !receiver_.on_wait()) return false;
      if (Clock::now() > end) {
        fail(whom + (" for " + std::to_string(patience.count())) + " seconds");
      }
    }
    return true;
  }

  bool connect() {
    const auto resolution = std::make_shared<Operation>();
    resolver_.async_resolve(
        url_.host, url_.port, [resolution](const error_code& error, const auto& found) {
          *resolution = {.is_done = true, .error = error, .found = found};
        });
    if (!wait_for(*resolution, kConnectPatience, "the host's name has not been resolved")) {
      return false;
    }
    if (resolution->error) fail("the host is not known: " + resolution->error.message());
    ++pending_;
    asio::async_connect(socket_, resolution->found, [this](const error_code& error, const auto&) {
      --pending_;
      operation_ = {.is_done = true, .error = error};
    });
    if (!wait_for(operation_, kConnectPatience, "the server has not been reached")) return false;
    if (operation_.error) fail("no server answers: " + operation_.error.message());
    return true;
  }

  template <class Begin>
  std::optional<error_code> read(const Begin& begin) {
    ++pending_;
    operation_ = {};
    begin([this](const error_code& error, size_t) {
      --pending_;
      operation_ = {.is_done = true, .error = error};
    });
    if (!wait_for(operation_, patience_, "the server has been silent")) return std::nullopt;
    return operation_.error;
  }

  bool read_head() {
    const auto error = read(
        [this](auto done) { http::async_read_header(socket_, buffer_, parser_, std::move(done)); });
    if (error && *error) fail(failure_of(*error));
    return error.has_value();
  }

  void read_body() {
    while (!parser_.is_done()) {
      auto& body = parser_.get().body();
      body.data = piece_.data();
      body.size = piece_.size();
      const auto error = read(
          [this](auto done) { http::async_read_some(socket_, buffer_, parser_, std::move(done)); });
      if (!error) return;
      if (*error && *error != http::error::need_buffer) fail(failure_of(*error));
      const std::string_view bytes(piece_.data(), piece_.size() - parser_.get().body().size);
      if (!bytes.empty() && !receiver_.on_body(bytes)) return;
    }
  }

  static std::string failure_of(const error_code& error) {
    if (error == http::error::end_of_stream) return "the server closed without an answer";
    if (error == http::error::partial_message || error == asio::error::connection_reset) {
      return "the server broke off its answer";
    }
    if (error == http::error::body_limit || error == http::error::header_limit) {
      return "the server's answer is too long";
    }
    return "the server does not answer as HTTP wants it: " + error.message();
  }

  const ServerUrl& url_;
  std::chrono::seconds patience_;
  const HttpReceiver& receiver_;
  Tcp::resolver resolver_;
  Tcp::socket socket_;
  boost::beast::flat_buffer buffer_{kMostHeadBytes};
  http::response_parser<http::buffer_body> parser_;
  std::string request_;
  Operation operation_;  // connects or reads
  std::array<char, kPieceBytes> piece_;
  int pending_ = 0;  // operations whose handlers refer to this
};

}  // namespace

void exchange(const ServerUrl& url,
              const HttpRequest& request,
              std::chrono::seconds patience,
              const HttpReceiver& receiver) {
  Exchange(url, patience, receiver).run(request);
}

}  // namespace dms::client
