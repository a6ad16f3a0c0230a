#pragma once
// Notices clients that go while their answer is being computed, when nothing is read from them. One
// timer and one poll() for all of them, a few times a second.

#include <chrono>
#include <map>
#include <memory>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

namespace dms::serve {

class ConnectionWatch {
 public:
  class Watched {
   public:
    virtual ~Watched() = default;
    virtual void on_peer_gone() = 0;
  };

  explicit ConnectionWatch(boost::asio::io_context& io) : timer_(io) {}

  void add(int descriptor, const std::shared_ptr<Watched>& watched);
  void remove(const Watched* watched) { watched_.erase(watched); }

 private:
  static constexpr std::chrono::milliseconds kInterval{200};

  struct Entry {
    int descriptor;
    std::weak_ptr<Watched> watched;
  };

  void wait();
  void look();

  boost::asio::steady_timer timer_;
  std::map<const Watched*, Entry> watched_;
  bool is_waiting_ = false;
};

}  // namespace dms::serve
