// Input: a tokenizer.json, a zero byte, a text. Whatever parses must encode, decode and stream
// without crashing, and byte for byte the same twice.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "dms/error.h"
#include "text/stream_decoder.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void use(const dms::text::Tokenizer& tokenizer, std::string_view text) {
  const std::vector<int32_t> ids = tokenizer.encode(text, true);
  require(ids == tokenizer.encode(text, true));
  require(dms::text::is_well_formed(tokenizer.decode(ids, true)));
  dms::text::StreamDecoder stream(tokenizer, false);
  std::string streamed;
  for (const int32_t id : ids) streamed += stream.push(id);
  streamed += stream.finish();
  require(dms::text::is_well_formed(streamed));
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
