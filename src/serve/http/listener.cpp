#include "serve/http/listener.h"

#include <utility>

#include "dms/error.h"

namespace dms::serve {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr std::chrono::milliseconds kPause{100};

tcp::endpoint resolve(asio::io_context& io, const ServerSettings& settings) {
  error_code error;
  tcp::resolver resolver(io);
  const auto found =
      resolver.resolve(settings.host, std::to_string(settings.port), tcp::resolver::passive, error);
  if (!error && !found.empty()) return found.begin()->endpoint();
  throw InputError({.where = "host",
                    .what = "is no address",
                    .got = settings.host,
                    .expected = "one of this machine's, as 127.0.0.1 or 0.0.0.0"});
}

}  // namespace

Listener::Listener(asio::io_context& io, const ServerSettings& settings)
    : acceptor_(io), pause_(io) {
  const tcp::endpoint endpoint = resolve(io, settings);
  error_code error;
  const auto attempt = [&error](auto&& step) {
    if (!error) step();
  };
  attempt([&] { acceptor_.open(endpoint.protocol(), error); });
  attempt([&] { acceptor_.set_option(asio::socket_base::reuse_address(true), error); });
  attempt([&] { acceptor_.bind(endpoint, error); });
  attempt([&] { acceptor_.listen(asio::socket_base::max_listen_connections, error); });
  if (!error) return;
  throw InputError({.where = settings.host + ":" + std::to_string(settings.port),
                    .what = "cannot listen there",
                    .got = error.message(),
                    .hint = "choose another --port; 0 takes any that is free"});
}

std::string Listener::url() const {
  const tcp::endpoint endpoint = acceptor_.local_endpoint();
  const std::string address = endpoint.address().to_string();
  const bool is_v6 = endpoint.address().is_v6();
  return "http://" + (is_v6 ? "[" + address + "]" : address) + ":" +
         std::to_string(endpoint.port());
}

void Listener::accept(std::shared_ptr<Connections> connections) {
  connections_ = std::move(connections);
  accept_next();
}

void Listener::close() {
  error_code ignored;
  acceptor_.close(ignored);
  pause_.cancel();
}

void Listener::accept_next() {
  acceptor_.async_accept([this](const error_code& error, tcp::socket socket) {
    if (!acceptor_.is_open()) return;
    if (!error) {
      take(std::move(socket));
      return accept_next();
    }
    // No descriptors are left, for example: to try again at once would keep a core busy.
    pause_.expires_after(kPause);
    pause_.async_wait([this](const error_code& cancelled) {
      if (!cancelled && acceptor_.is_open()) accept_next();
    });
  });
}

/// One connection too many is closed at once.
void Listener::take(tcp::socket socket) {
  if (std::ssize(connections_->open) >= connections_->settings.max_connections) return;
  std::make_shared<HttpSession>(std::move(socket), connections_)->run();
}

}  // namespace dms::serve
