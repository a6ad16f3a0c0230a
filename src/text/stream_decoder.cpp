#include <algorithm>

#include "text/tokenizer.h"

namespace dms::text {
namespace {

constexpr std::string_view kReplacementUtf8 = "\xEF\xBF\xBD";

// What `text` has beyond `given`. A later token may change earlier text (an unfinished character
// that turned out to be broken): then everything after the common beginning is new.
std::string beyond(const std::string& text, const std::string& given) {
  if (text.starts_with(given)) return text.substr(given.size());
  const auto split = std::mismatch(text.begin(), text.end(), given.begin(), given.end());
  size_t common = static_cast<size_t>(split.first - text.begin());
  while (common > 0 && common < text.size() && (text[common] & 0xC0) == 0x80) --common;
  return text.substr(common);
}

}  // namespace

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens)
    : tokenizer_(&tokenizer), skip_special_tokens_(skip_special_tokens) {}

std::string StreamDecoder::text() const { return tokenizer_->decode(ids_, skip_special_tokens_); }

// The tokens of the last piece stay in front of the new ones: what a token decodes to can depend on
// the one before (a leading space that is dropped at the start only).
std::string StreamDecoder::push(int32_t id) {
  ids_.push_back(id);
  const std::string now = text();
  if (now.size() <= given_.size() || now.ends_with(kReplacementUtf8)) return "";
  std::string fresh = beyond(now, given_);
  ids_.erase(ids_.begin(), ids_.begin() + static_cast<std::ptrdiff_t>(given_ids_));
  given_ = text();
  given_ids_ = ids_.size();
  return fresh;
}

std::string StreamDecoder::finish() {
  std::string rest = beyond(text(), given_);
  ids_.clear();
  given_.clear();
  given_ids_ = 0;
  return rest;
}

}  // namespace dms::text
