#include "serve/http/connection_watch.h"

#include <vector>

#include <poll.h>

namespace dms::serve {

void ConnectionWatch::add(int descriptor, const std::shared_ptr<Watched>& watched) {
  watched_[watched.get()] = {.descriptor = descriptor, .watched = watched};
  wait();
}

void ConnectionWatch::wait() {
  if (is_waiting_ || watched_.empty()) return;
  is_waiting_ = true;
  timer_.expires_after(kInterval);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;  // the server ends
    is_waiting_ = false;
    look();
    wait();
  });
}

/// What a client has sent meanwhile stays where it is: only its going counts.
void ConnectionWatch::look() {
  std::vector<pollfd> descriptors;
  std::vector<const Watched*> owners;
  for (const auto& [owner, entry] : watched_) {
    descriptors.push_back({.fd = entry.descriptor, .events = POLLRDHUP, .revents = 0});
    owners.push_back(owner);
  }
  if (::poll(descriptors.data(), descriptors.size(), 0) <= 0) return;
  for (size_t i = 0; i < owners.size(); ++i) {
    if ((descriptors[i].revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) == 0) continue;
    const auto found = watched_.find(owners[i]);
    if (found == watched_.end()) continue;
    const auto watched = found->second.watched.lock();
    watched_.erase(found);
    if (watched) watched->on_peer_gone();
  }
}

}  // namespace dms::serve
