#include "gguf/header_reader.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "dms/error.h"

namespace dms::gguf {
namespace {

constexpr int64_t kMaxHeaderBytes = int64_t{1} << 28;  // vocabularies take some ten MB
constexpr int64_t kWindowBytes = int64_t{1} << 16;

}  // namespace

HeaderReader::HeaderReader(ReadBytes read, int64_t file_bytes, std::string where)
    : read_(std::move(read)),
      where_(std::move(where)),
      file_bytes_(file_bytes),
      limit_(std::min(file_bytes, kMaxHeaderBytes)) {}

void HeaderReader::throw_short(uint64_t needed, std::string_view what) const {
  const bool is_whole_file = limit_ == file_bytes_;
  throw InputError({.where = where_ + ": " + std::string(what),
                    .what = is_whole_file ? "exceeds the file (truncated or damaged)"
                                          : "metadata and tensor list are absurdly large",
                    .got = std::to_string(needed) + " bytes at byte " + std::to_string(position_),
                    .expected = "at most " + std::to_string(left())});
}

const std::byte* HeaderReader::take(int64_t bytes, std::string_view what) {
  if (bytes > left()) throw_short(static_cast<uint64_t>(bytes), what);
  if (position_ + bytes > window_begin_ + std::ssize(window_)) {
    window_.resize(static_cast<size_t>(std::min(left(), std::max(bytes, kWindowBytes))));
    window_begin_ = position_;
    read_(position_, window_);
  }
  const std::byte* taken = window_.data() + (position_ - window_begin_);
  position_ += bytes;
  return taken;
}

int64_t HeaderReader::count(int64_t least_bytes, std::string_view what) {
  const auto count = number<uint64_t>(what);
  const auto most = static_cast<uint64_t>(left() / least_bytes);
  if (count <= most) return static_cast<int64_t>(count);
  throw InputError({.where = where_ + ": " + std::string(what),
                    .what = "count exceeds the file (truncated or damaged)",
                    .got = std::to_string(count),
                    .expected = "at most " + std::to_string(most)});
}

std::string HeaderReader::string(std::string_view what) {
  const auto length = number<uint64_t>(what);
  if (length > static_cast<uint64_t>(left())) throw_short(length, what);
  const auto bytes = static_cast<int64_t>(length);
  std::string text(reinterpret_cast<const char*>(take(bytes, what)), static_cast<size_t>(bytes));
  if (is_well_formed(text)) return text;
  throw InputError({.where = where_ + ": " + std::string(what),
                    .what = "is no UTF-8",
                    .got = to_well_formed(text.substr(0, 60)),
                    .expected = "well-formed text"});
}

}  // namespace dms::gguf
