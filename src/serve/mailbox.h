#pragma once
// What the engine's thread tells of a request, until the I/O thread takes it. The engine never
// waits here, and the I/O thread is woken once for all that has come meanwhile.

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "dms/request.h"

namespace dms::serve {

/// Has a function called on another thread, later.
using Post = std::function<void(std::function<void()>)>;

struct Mail {
  size_t prompt = 0;  // which of the prompts of one HTTP request
  Event event;
  std::chrono::steady_clock::time_point at;
};

class Mailbox : public std::enable_shared_from_this<Mailbox> {
 public:
  /// `on_mail` is called on the thread that `post` reaches, as long as its owner has not closed
  /// this.
  Mailbox(Post post, std::function<void()> on_mail);

  /// The sink of a request, for the engine's thread. It keeps this alive, not the owner.
  EventSink sink(size_t prompt);

  /// The rest is for the thread that `post` reaches.
  std::vector<Mail> take();
  void close() { on_mail_ = {}; }

 private:
  void put(size_t prompt, const Event& event);

  Post post_;
  std::function<void()> on_mail_;
  std::mutex mutex_;
  std::vector<Mail> mail_;
};

}  // namespace dms::serve
