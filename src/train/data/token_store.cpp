#include "train/data/token_store.h"

#include <algorithm>
#include <string>

#include "base/check.h"
#include "dms/error.h"

namespace dms::train::data {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTokens = "tokens.bin";
constexpr const char* kOffsets = "offsets.bin";
constexpr const char* kLoss = "loss.bin";
constexpr int64_t kShortVocab = 65536;  // ids below it take two bytes
constexpr int64_t kMaxVocab = int64_t{1} << 31;
constexpr int64_t kMaxCount = int64_t{1} << 48;

int64_t described(const Json& description, const fs::path& folder, const char* key, int64_t max) {
  return JsonFields(description, (folder / "stage.json").string()).integer(key, 0, max);
}

}  // namespace

TokenWriter::TokenWriter(const fs::path& folder, int64_t vocab)
    : vocab_(vocab),
      tokens_file_(folder / kTokens),
      offsets_file_(folder / kOffsets),
      loss_file_(folder / kLoss) {
  offsets_file_.write<int64_t>(std::span(&tokens_, 1));
}

void TokenWriter::append(const Document& document) {
  ensure(!document.ids.empty(), "documents have tokens");
  const auto [least, most] = std::ranges::minmax(document.ids);
  if (least < 0 || most >= vocab_) {
    throw InputError({.where = "tokenizer.json",
                      .what = "gives ids that the model does not have",
                      .got = std::to_string(most),
                      .expected = "less than vocab_size, " + std::to_string(vocab_)});
  }
  if (vocab_ <= kShortVocab) {
    const std::vector<uint16_t> narrow(document.ids.begin(), document.ids.end());
    tokens_file_.write<uint16_t>(narrow);
  } else {
    tokens_file_.write<int32_t>(document.ids);
  }
  append_loss(document);
  tokens_ += std::ssize(document.ids);
  ++documents_;
  offsets_file_.write<int64_t>(std::span(&tokens_, 1));
}

void TokenWriter::append_loss(const Document& document) {
  ensure(document.loss.empty() || document.loss.size() == document.ids.size(),
         "one loss flag a token");
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < document.ids.size(); ++i) {
    const bool counts = document.loss.empty() || document.loss[i] != 0;
    const int64_t bit = (tokens_ + static_cast<int64_t>(i)) % 8;
    if (counts) loss_byte_ = static_cast<uint8_t>(loss_byte_ | 1u << bit);
    loss_tokens_ += counts ? 1 : 0;
    if (bit == 7) {
      bytes.push_back(loss_byte_);
      loss_byte_ = 0;
    }
  }
  loss_file_.write<uint8_t>(bytes);
}

Json TokenWriter::finish() {
  if (tokens_ % 8 != 0) loss_file_.write<uint8_t>(std::span(&loss_byte_, 1));
  tokens_file_.close();
  offsets_file_.close();
  loss_file_.close();
  return {{"vocab", vocab_},
          {"documents", documents_},
          {"tokens", tokens_},
          {"loss_tokens", loss_tokens_}};
}

TokenStore::Tokens TokenStore::open_tokens(const fs::path& folder, int64_t vocab, int64_t tokens) {
  if (vocab <= kShortVocab) return ArrayFile<uint16_t>(folder / kTokens, tokens);
  return ArrayFile<int32_t>(folder / kTokens, tokens);
}

TokenStore::TokenStore(const fs::path& folder, const Json& description)
    : vocab_(described(description, folder, "vocab", kMaxVocab)),
      count_(described(description, folder, "tokens", kMaxCount)),
      offsets_(folder / kOffsets, described(description, folder, "documents", kMaxCount) + 1),
      tokens_(open_tokens(folder, vocab_, count_)),
      loss_(folder / kLoss, ceil_div(count_, 8)) {
  check_offsets();
}

void TokenStore::check_offsets() const {
  int64_t last = -1;
  bool is_rising = offsets_.at(0) == 0;
  offsets_.walk([&](std::span<const int64_t> piece) {
    for (const int64_t offset : piece) {
      is_rising = is_rising && offset > last;
      last = offset;
    }
  });
  if (is_rising && last == count_) return;
  throw_damaged(offsets_.path(), "offsets do not rise from 0 to the number of tokens");
}

int64_t TokenStore::document_of(int64_t place) const {
  ensure(place >= 0 && place < tokens(), "a token of the store");
  int64_t document = 0;
  int64_t end = documents();
  while (end - document > 1) {
    const int64_t middle = document + (end - document) / 2;
    (offset(middle) <= place ? document : end) = middle;
  }
  return document;
}

void TokenStore::read(int64_t first, int64_t count, Sample& out) const {
  ensure(first >= 0 && count >= 0 && first + count <= tokens(), "tokens of the store");
  if (count == 0) return;
  std::visit(
      [&](const auto& array) {
        for (const auto token : array.read(first, count)) {
          const auto id = static_cast<int32_t>(token);
          if (id < 0 || id >= vocab_) throw_damaged(array.path(), "an id beyond the vocabulary");
          out.ids.push_back(id);
        }
      },
      tokens_);
  const int64_t first_byte = first / 8;
  const std::vector<uint8_t> bits =
      loss_.read(first_byte, (first + count - 1) / 8 - first_byte + 1);
  for (int64_t i = first; i < first + count; ++i) {
    const unsigned byte = bits[static_cast<size_t>(i / 8 - first_byte)];
    out.loss.push_back(static_cast<uint8_t>(byte >> (i % 8) & 1u));
  }
}

}  // namespace dms::train::data
