// Input: a tokenizer.json, a zero byte, a text. Whatever parses must encode, decode and stream
// without crashing, and byte for byte the same twice, in bounded steps.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.h"
#include "dms/error.h"
#include "text/stream_decoder.h"
#include "text/tokenizer.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void stream(const dms::text::Tokenizer& tokenizer, std::span<const int32_t> ids) {
  constexpr size_t kMostHeld = 512;  // ids that a push may decode again
  const size_t half = ids.size() / 2;
  dms::text::StreamDecoder stream(tokenizer, false, ids.first(half));
  std::string streamed;
  for (const int32_t id : ids.subspan(half)) {
    streamed += stream.push(id);
    require(stream.held() <= kMostHeld);
  }
  streamed += stream.finish();
  require(dms::is_well_formed(streamed));
}

void use(const dms::text::Tokenizer& tokenizer, std::string_view text) {
  const std::vector<int32_t> ids = tokenizer.encode(text, true);
  require(ids == tokenizer.encode(text, true));
  require(dms::is_well_formed(tokenizer.decode(ids, true)));
  const std::vector<int32_t> some = tokenizer.encode(text, true, 8);
  require(some.size() > 8 ? ids.size() > 8 : some == ids);
  stream(tokenizer, ids);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(input.find('\0'), input.size());
  const std::string_view text = end < size ? input.substr(end + 1) : "the text, 123";
  try {
    use(dms::text::Tokenizer::parse(input.substr(0, end), "fuzz"), text.substr(0, 4096));
  } catch (const dms::InputError&) {
    return 0;
  }
  return 0;
}
