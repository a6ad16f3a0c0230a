#include "base/whole_characters.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"

namespace dms {
namespace {

/// Bytes at the end that may become a character with those to come.
size_t open_bytes(std::string_view text) {
  constexpr size_t kMost = 3;
  for (size_t count = 1; count <= std::min(kMost, text.size()); ++count) {
    const auto byte = static_cast<unsigned char>(text[text.size() - count]);
    if ((byte & 0xC0U) == 0x80U) continue;
    if (byte < 0xC2 || byte > 0xF4) return 0;  // no character begins so, or it is a whole one
    const size_t wanted = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2;
    return wanted > count ? count : 0;
  }
  return 0;
}

}  // namespace

std::string WholeCharacters::take(std::string_view bytes) {
  std::string text = std::exchange(begun_, {}).append(bytes);
  const size_t whole = text.size() - open_bytes(text);
  begun_ = text.substr(whole);
  text.resize(whole);
  return to_well_formed(text);
}

std::string WholeCharacters::rest() { return to_well_formed(std::exchange(begun_, {})); }

}  // namespace dms
