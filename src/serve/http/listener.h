#pragma once
// Accepts connections.

#include <cstdint>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include "serve/http/http_session.h"

namespace dms::serve {

class Listener {
 public:
  /// Takes the port at once: whoever connects waits until accept() is called. Throws InputError
  /// where the address is none of this machine or the port is taken.
  Listener(boost::asio::io_context& io, const ServerSettings& settings);

  /// "http://127.0.0.1:8000"
  std::string url() const;
  void accept(std::shared_ptr<Connections> connections);
  void close();

 private:
  void accept_next();
  void take(boost::asio::ip::tcp::socket socket);

  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer pause_;
  std::shared_ptr<Connections> connections_;
};

}  // namespace dms::serve
