#include "text/stream_decoder.h"

#include <algorithm>

#include "text/tokenizer.h"

namespace dms::text {
namespace {

constexpr std::string_view kReplacementUtf8 = "\xEF\xBF\xBD";
constexpr size_t kMostPending = 32;     // ids held back before something must be settled
constexpr size_t kMaxCharacterIds = 4;  // that can still make one character with those to come
constexpr size_t kStep = 8;             // ids by which a beginning in the middle is widened
constexpr size_t kMostContext = 256;    // ids that it looks at

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

// The last ids with some text, and not from the middle of a character on.
StreamDecoder::StreamDecoder(const Tokenizer& tokenizer,
                             bool skip_special_tokens,
                             std::span<const int32_t> before)
    : StreamDecoder(tokenizer, skip_special_tokens) {
  std::vector<int32_t> context;
  while (!before.empty() && context.size() < kMostContext) {
    const size_t wanted = context.size() + kStep;
    for (; !before.empty() && context.size() < wanted; before = before.first(before.size() - 1)) {
      if (shows(before.back())) context.insert(context.begin(), before.back());
    }
    const std::string now = text(context);
    if (!now.empty() && !now.starts_with(kReplacementUtf8)) break;
  }
  for (const int32_t id : context) push(id);
}

bool StreamDecoder::shows(int32_t id) const {
  return !tokenizer_->leaves_out(id, skip_special_tokens_);
}

std::string StreamDecoder::text(std::span<const int32_t> ids) const {
  return tokenizer_->decode(ids, skip_special_tokens_);
}

std::string StreamDecoder::push(int32_t id) {
  if (!shows(id)) return "";
  ids_.push_back(id);
  const std::string now = text(ids_);
  const bool is_unfinished = now.ends_with(kReplacementUtf8);
  if (now.size() > given_.size() && !is_unfinished) return give(now);
  if (ids_.size() - given_ids_ < kMostPending) return "";
  if (is_unfinished) return settle_broken(now);
  // Ids that make no text: the last few stand for all of them.
  ids_.erase(ids_.begin() + static_cast<std::ptrdiff_t>(given_ids_), ids_.end() - kStep);
  return "";
}

// The ids of the last piece stay in front of the new ones: what a token decodes to can depend on
// the one before (a leading space that is dropped at the start only).
std::string StreamDecoder::give(const std::string& now) {
  std::string fresh = beyond(now, given_);
  ids_.erase(ids_.begin(), ids_.begin() + static_cast<std::ptrdiff_t>(given_ids_));
  given_ = text(ids_);
  given_ids_ = ids_.size();
  return fresh;
}

// So many ids without a whole character at their end are broken: all but the last few can no longer
// change. They are cut off where the two sides do not depend on each other.
std::string StreamDecoder::settle_broken(const std::string& now) {
  const std::span<const int32_t> all(ids_);
  for (size_t cut = all.size() - kMaxCharacterIds; cut > given_ids_; --cut) {
    const std::string settled = text(all.first(cut));
    if (settled + text(all.subspan(cut)) != now) continue;
    std::string fresh = beyond(settled, given_);
    ids_.erase(ids_.begin(), ids_.begin() + static_cast<std::ptrdiff_t>(cut));
    given_.clear();
    given_ids_ = 0;
    return fresh;
  }
  return give(now);
}

std::string StreamDecoder::finish() {
  std::string rest = beyond(text(ids_), given_);
  ids_.clear();
  given_.clear();
  given_ids_ = 0;
  return rest;
}

}  // namespace dms::text
