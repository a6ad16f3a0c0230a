// The writing side of http_session.h.

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <string_view>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>

#include "serve/access_log.h"
#include "serve/api_error.h"
#include "serve/http/http_session.h"
#include "serve/service.h"

namespace dms::serve {

namespace asio = boost::asio;

namespace {

constexpr size_t kWasteBytes = size_t{1} << 16;
constexpr std::chrono::seconds kLinger{2};
constexpr std::string_view kLastChunk = "0\r\n\r\n";

std::string chunk(std::string_view bytes) {
  constexpr int kHex = 16;
  char digits[2 * sizeof(size_t)];
  const char* end = std::to_chars(digits, digits + sizeof digits, bytes.size(), kHex).ptr;
  std::string out(digits, static_cast<size_t>(end - digits));
  out += "\r\n";
  out += bytes;
  return out += "\r\n";
}

}  // namespace

/// The values are our own, or an origin that was parsed as a header: none holds a line's end.
std::string HttpSession::head_text(const HttpResponse& response) const {
  std::string text = "HTTP/1.1 " + std::to_string(response.status) + " ";
  text += reason_of(response.status);
  text += "\r\n";
  const auto add = [&text](std::string_view name, std::string_view value) {
    text += name;
    text += ": ";
    text += value;
    text += "\r\n";
  };
  if (!response.content_type.empty()) add("Content-Type", response.content_type);
  for (const auto& [name, value] : response.headers) add(name, value);
  for (const auto& [name, value] : connections_->service.headers_for(head_)) add(name, value);
  add("Connection", keeps_alive_ ? "keep-alive" : "close");
  return text;
}

void HttpSession::respond(HttpResponse response) {
  if (is_closed_) return;
  status_ = response.status;
  keeps_alive_ = keeps_alive_ && !connections_->service.is_draining();
  pending_ = head_text(response);
  constexpr int kNoContent = 204;
  if (response.status != kNoContent) {
    pending_ += "Content-Length: " + std::to_string(response.body.size()) + "\r\n";
  }
  pending_ += "\r\n";
  if (head_.method != "HEAD") pending_ += response.body;
  has_all_ = true;
  flush();
}

void HttpSession::begin_stream() {
  if (is_closed_) return;
  HttpResponse head{.content_type = "text/event-stream; charset=utf-8",
                    .headers = {{"Cache-Control", "no-cache"}}};
  status_ = head.status;
  keeps_alive_ = keeps_alive_ && !is_old_ && !connections_->service.is_draining();
  if (!is_old_) head.headers.emplace_back("Transfer-Encoding", "chunked");
  pending_ = head_text(head) + "\r\n";
  flush();
}

bool HttpSession::write(std::string_view bytes) {
  if (is_closed_) return false;
  const std::string piece = is_old_ ? std::string(bytes) : chunk(bytes);
  pending_ += piece;
  // The largest is left out: nobody reads a piece of any size before the next one comes.
  largest_piece_ = std::max(largest_piece_, piece.size());
  const size_t held = pending_.size() + in_flight_.size();
  const size_t unread = held - std::min(held, largest_piece_);  // it may have been read meanwhile
  if (std::cmp_greater(unread, connections_->settings.max_unread_bytes)) {
    on_closed_ = {};  // the caller is told by what this returns
    lose();
    return false;
  }
  flush();
  return true;
}

void HttpSession::end_stream(std::string_view bytes) {
  if (is_closed_) return;
  pending_ += is_old_ ? std::string(bytes) : chunk(bytes);
  if (!is_old_) pending_ += kLastChunk;
  has_all_ = true;
  flush();
}

void HttpSession::flush() {
  if (is_writing_ || is_closed_) return;
  if (pending_.empty()) {
    largest_piece_ = 0;
    if (has_all_) end_request();
    return;
  }
  in_flight_ = std::exchange(pending_, {});
  is_writing_ = true;
  stream_.expires_after(connections_->settings.write_timeout);
  asio::async_write(stream_,
                    asio::buffer(in_flight_),
                    [self = shared_from_this()](const ErrorCode& error, size_t) {
                      self->is_writing_ = false;
                      self->in_flight_.clear();
                      if (error) return self->lose();
                      self->stream_.expires_never();
                      self->flush();
                    });
}

void HttpSession::end_request() {
  log(status_);
  has_all_ = false;
  on_closed_ = {};
  connections_->watch.remove(this);
  keeps_alive_ ? wait_for_request(connections_->settings.idle_timeout) : linger();
}

void HttpSession::log(int status) const {
  connections_->service.count(head_, status);
  if (!connections_->settings.access_log) return;
  const AccessEntry entry{.client = client_,
                          .method = head_.method.empty() ? "-" : head_.method,
                          .path = head_.path.empty() ? "-" : head_.path,
                          .status = status,
                          .took = std::chrono::steady_clock::now() - began_,
                          .prompt_tokens = prompt_tokens_,
                          .generated_tokens = generated_tokens_};
  std::fputs((access_line(entry, std::chrono::system_clock::now()) + "\n").c_str(), stderr);
}

void HttpSession::linger() {
  boost::system::error_code ignored;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  waste_.resize(kWasteBytes);
  stream_.expires_after(kLinger);
  read_waste();
}

void HttpSession::read_waste() {
  stream_.async_read_some(asio::buffer(waste_),
                          [self = shared_from_this()](const ErrorCode& error, size_t) {
                            error ? self->close() : self->read_waste();
                          });
}

}  // namespace dms::serve
