#include "serve/http/http_session.h"

#include <utility>
#include <vector>

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/read.hpp>
#include <netinet/tcp.h>

#include "serve/responses.h"
#include "serve/routes.h"
#include "serve/service.h"

namespace dms::serve {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

namespace {

constexpr size_t kBufferBytes = size_t{1} << 16;
constexpr size_t kReadBytes = size_t{1} << 12;
constexpr int kTimedOut = 408;

/// A client that vanishes without a word is noticed in half a minute.
void notice_silence(asio::ip::tcp::socket& socket) {
  boost::system::error_code ignored;
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  const int descriptor = socket.native_handle();
  const auto set = [descriptor](int option, int value) {
    setsockopt(descriptor, IPPROTO_TCP, option, &value, sizeof value);
  };
  set(TCP_KEEPIDLE, 10);
  set(TCP_KEEPINTVL, 5);
  set(TCP_KEEPCNT, 4);
}

std::string address_of(const asio::ip::tcp::socket& socket) {
  boost::system::error_code error;
  const auto endpoint = socket.remote_endpoint(error);
  return error ? "-" : endpoint.address().to_string();
}

std::string text_of(beast::string_view text) { return {text.data(), text.size()}; }

ApiError refusal_of(const beast::error_code& error) {
  if (error == http::error::header_limit) return {431, "the request's head is too large"};
  if (error == http::error::body_limit) return {413, "the request's body is too large"};
  return {400, "this is no HTTP request: " + error.message()};
}

}  // namespace

void Connections::close_idle() {
  for (HttpSession* session : std::vector(open.begin(), open.end())) session->close_if_idle();
}

HttpSession::HttpSession(asio::ip::tcp::socket socket, std::shared_ptr<Connections> connections)
    : stream_(std::move(socket)),
      connections_(std::move(connections)),
      descriptor_(stream_.socket().native_handle()),
      client_(address_of(stream_.socket())),
      buffer_(kBufferBytes) {
  notice_silence(stream_.socket());
  connections_->open.insert(this);
}

HttpSession::~HttpSession() { connections_->open.erase(this); }

void HttpSession::run() { wait_for_request(connections_->settings.read_timeout); }

void HttpSession::close_if_idle() {
  if (is_idle_) close();
}

std::string HttpSession::take_body() { return std::move(parser_->get().body()); }

void HttpSession::count_tokens(int64_t prompt, int64_t generated) {
  prompt_tokens_ = prompt;
  generated_tokens_ = generated;
}

void HttpSession::wait_for_request(std::chrono::seconds patience) {
  head_ = {};
  prompt_tokens_ = generated_tokens_ = 0;
  if (connections_->service.is_draining()) return linger();
  if (buffer_.size() > 0) return read_head();  // sent ahead
  is_idle_ = true;
  stream_.expires_after(patience);
  stream_.async_read_some(buffer_.prepare(kReadBytes),
                          [self = shared_from_this()](const ErrorCode& error, size_t bytes) {
                            self->is_idle_ = false;
                            if (error || self->is_closed_) return self->close();
                            self->buffer_.commit(bytes);
                            self->read_head();
                          });
}

void HttpSession::read_head() {
  const ServerSettings& settings = connections_->settings;
  began_ = std::chrono::steady_clock::now();
  parser_.emplace();
  parser_->header_limit(static_cast<uint32_t>(settings.max_head_bytes));
  parser_->body_limit(static_cast<uint64_t>(settings.max_body_bytes));
  stream_.expires_after(settings.read_timeout);
  http::async_read_header(
      stream_, buffer_, *parser_, [self = shared_from_this()](const ErrorCode& error, size_t) {
        error ? self->refuse_malformed(error) : self->take_head();
      });
}

void HttpSession::take_head() {
  const auto& message = parser_->get();
  head_ = {.method = text_of(message.method_string()),
           .path = path_of(text_of(message.target())),
           .authorization = text_of(message[http::field::authorization]),
           .api_key = text_of(message["x-api-key"]),
           .origin = text_of(message[http::field::origin]),
           .asked_headers = text_of(message[http::field::access_control_request_headers]),
           .host = text_of(message[http::field::host]),
           .query = query_of(text_of(message.target())),
           .content_type = text_of(message[http::field::content_type])};
  is_old_ = message.version() < 11;
  keeps_alive_ = message.keep_alive();
  if (auto response = connections_->service.refuse(head_)) {
    keeps_alive_ = keeps_alive_ && parser_->is_done();
    return respond(std::move(*response));
  }
  if (parser_->is_done()) return handle();
  const bool waits = beast::iequals(message[http::field::expect], "100-continue");
  waits ? tell_to_continue() : read_body();
}

void HttpSession::tell_to_continue() {
  static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  asio::async_write(stream_,
                    asio::buffer(kContinue.data(), kContinue.size()),
                    [self = shared_from_this()](const ErrorCode& error, size_t) {
                      error ? self->close() : self->read_body();
                    });
}

void HttpSession::read_body() {
  stream_.expires_after(connections_->settings.read_timeout);
  http::async_read(
      stream_, buffer_, *parser_, [self = shared_from_this()](const ErrorCode& error, size_t) {
        error ? self->refuse_malformed(error) : self->handle();
      });
}

void HttpSession::handle() {
  stream_.expires_never();
  connections_->watch.add(descriptor_, shared_from_this());
  connections_->service.handle(shared_from_this());
}

/// Malformed, too large or too slow; or the client went, which needs no answer.
void HttpSession::refuse_malformed(const ErrorCode& error) {
  const bool is_http = error.category() == http::make_error_code(http::error::bad_value).category();
  const bool has_ended =
      error == http::error::end_of_stream || error == http::error::partial_message;
  if (!is_http || has_ended || is_closed_) {
    if (error == beast::error::timeout) log(kTimedOut);
    return close();
  }
  keeps_alive_ = false;
  // The length of a body is looked at before its head is taken.
  const std::string path = path_of(text_of(parser_->get().target()));
  respond(error_response(refusal_of(error), error_form_of(path)));
}

void HttpSession::lose() {
  if (is_closed_) return;
  constexpr int kClosedByClient = 499;  // nginx's number
  log(kClosedByClient);
  close();
  if (const auto call = std::exchange(on_closed_, {})) call();
}

void HttpSession::close() {
  is_closed_ = true;
  connections_->watch.remove(this);
  boost::system::error_code ignored;
  stream_.socket().close(ignored);
}

}  // namespace dms::serve
