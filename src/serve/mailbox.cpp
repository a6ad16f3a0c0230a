#include "serve/mailbox.h"

#include <utility>

namespace dms::serve {

Mailbox::Mailbox(Post post, std::function<void()> on_mail)
    : post_(std::move(post)), on_mail_(std::move(on_mail)) {}

EventSink Mailbox::sink(size_t prompt) {
  return [self = shared_from_this(), prompt](const Event& event) { self->put(prompt, event); };
}

void Mailbox::put(size_t prompt, const Event& event) {
  bool is_first = false;
  {
    const std::lock_guard lock(mutex_);
    is_first = mail_.empty();
    mail_.push_back({.prompt = prompt, .event = event, .at = std::chrono::steady_clock::now()});
  }
  if (!is_first) return;
  post_([self = shared_from_this()] {
    // A copy: what is called may close this.
    const std::function<void()> on_mail = self->on_mail_;
    if (on_mail) on_mail();
  });
}

std::vector<Mail> Mailbox::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(mail_, {});
}

}  // namespace dms::serve
