#include "client/event_stream.h"

#include <algorithm>
#include <utility>

#include "dms/error.h"

namespace dms::client {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

void EventStream::grow(std::string& text, std::string_view piece) const {
  if (line_.size() + data_.size() + piece.size() > kMostBytes) {
    throw RunError({.what = "the server sent an event that is too long",
                    .expected = "at most " + std::to_string(kMostBytes) + " bytes"});
  }
  text += piece;
}

bool EventStream::push(std::string_view bytes, const Sink& sink) {
  while (!bytes.empty()) {
    if (std::exchange(ends_with_return_, false) && bytes.front() == '\n') {
      bytes.remove_prefix(1);
      continue;
    }
    const size_t end = std::min(bytes.find_first_of("\r\n"), bytes.size());
    grow(line_, bytes.substr(0, end));
    if (end == bytes.size()) return true;
    ends_with_return_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    if (!take_line(sink)) return false;
  }
  return true;
}

bool EventStream::take_line(const Sink& sink) {
  std::string_view line = line_;
  if (std::exchange(is_first_line_, false) && line.starts_with(kByteOrderMark)) {
    line.remove_prefix(kByteOrderMark.size());
  }
  if (line.empty()) {
    line_.clear();
    std::string data = std::exchange(data_, {});
    if (data.empty()) return true;
    data.pop_back();
    return sink(data);
  }
  const size_t colon = std::min(line.find(':'), line.size());
  if (line.substr(0, colon) == "data") {
    std::string_view value = line.substr(std::min(colon + 1, line.size()));
    if (value.starts_with(' ')) value.remove_prefix(1);
    const std::string piece = std::string(value) + '\n';
    line_.clear();
    grow(data_, piece);
  }
  line_.clear();
  return true;
}

}  // namespace dms::client
