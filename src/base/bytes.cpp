#include "base/bytes.h"

#include "dms/error.h"

namespace dms {

void ByteWriter::align(int64_t alignment) {
  const int64_t rest = (std::ssize(data_) + 1) % alignment;
  const int64_t count = rest == 0 ? 0 : alignment - rest;
  value(static_cast<uint8_t>(count));
  data_.append(static_cast<size_t>(count), '\0');
}

std::string_view ByteReader::take(int64_t count) {
  if (count < 0 || count > left()) {
    throw InputError({.where = where_,
                      .what = "ends early",
                      .got = std::to_string(left()) + " bytes more",
                      .expected = std::to_string(count)});
  }
  const std::string_view taken = data_.substr(0, static_cast<size_t>(count));
  data_.remove_prefix(taken.size());
  return taken;
}

int64_t ByteReader::count_of(int64_t element_bytes) {
  const auto count = value<int64_t>();
  require(count >= 0 && count <= left() / element_bytes, "a count that its bytes do not bear out");
  return count;
}

int64_t ByteReader::number(int64_t min, int64_t max, const char* what) {
  const auto got = value<int64_t>();
  if (got < min || got > max) {
    throw InputError({.where = where_,
                      .what = std::string(what) + " out of range",
                      .got = std::to_string(got),
                      .expected = std::to_string(min) + " to " + std::to_string(max)});
  }
  return got;
}

void ByteReader::require(bool holds, const char* what) const {
  if (!holds) throw InputError({.where = where_, .what = std::string("is damaged: ") + what});
}

}  // namespace dms
