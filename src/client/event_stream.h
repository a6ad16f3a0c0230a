#pragma once
// Server-sent events, as the HTML standard defines them, from bytes that come in any pieces.

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace dms::client {

class EventStream {
 public:
  /// Takes the data of one event; false: enough.
  using Sink = std::function<bool(std::string_view data)>;

  static constexpr size_t kMostBytes = size_t{1} << 20;  // of one event

  /// Hands the events that `bytes` complete to `sink`; false where that had enough. Throws RunError
  /// on an event, or a line, beyond kMostBytes.
  bool push(std::string_view bytes, const Sink& sink);

 private:
  bool take_line(const Sink& sink);
  void grow(std::string& text, std::string_view piece) const;

  std::string line_;  // as far as it came
  std::string data_;  // the event's, a line end after each line
  bool is_first_line_ = true;
  bool ends_with_return_ = false;  // a line feed after it belongs to it
};

}  // namespace dms::client
