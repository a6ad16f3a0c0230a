#pragma once
// The tokens of a dataset's documents, one after another, as files of a cached stage:
//   tokens.bin   uint16 or int32 [tokens]
//   offsets.bin  int64 [documents + 1]
//   loss.bin     one bit a token, lowest bit first; 1: the token counts as a target

#include <cstdint>
#include <filesystem>
#include <span>
#include <variant>
#include <vector>

#include "base/json.h"
#include "train/data/array_file.h"
#include "train/data/batches.h"

namespace dms::train::data {

struct Document {
  std::vector<int32_t> ids;   // [tokens]
  std::vector<uint8_t> loss;  // [tokens], or empty: every token counts
};

/// Writes documents as they come; holds no more than one of them.
class TokenWriter {
 public:
  /// `vocab`: ids are below it.
  TokenWriter(const std::filesystem::path& folder, int64_t vocab);
  /// Throws InputError when an id is not below the vocabulary's size. Empty documents are a bug.
  void append(const Document& document);
  /// Completes the files and returns what TokenStore needs to know of them.
  Json finish();

 private:
  void append_loss(const Document& document);

  int64_t vocab_;
  ArrayWriter tokens_file_;
  ArrayWriter offsets_file_;
  ArrayWriter loss_file_;
  int64_t documents_ = 0;
  int64_t tokens_ = 0;
  int64_t loss_tokens_ = 0;
  uint8_t loss_byte_ = 0;  // the bits of the tokens after the last whole byte
};

/// Thread-safe.
class TokenStore {
 public:
  /// Throws InputError when the files do not fit their description.
  TokenStore(const std::filesystem::path& folder, const Json& description);

  int64_t documents() const { return offsets_.size() - 1; }
  int64_t tokens() const { return count_; }
  /// Where document `index`'s tokens begin; of documents(): where the last one's end.
  int64_t offset(int64_t index) const { return offsets_.at(index); }
  /// The document that token `place` of the whole store belongs to.
  int64_t document_of(int64_t place) const;
  std::vector<int64_t> offsets() const { return offsets_.read(0, offsets_.size()); }

  /// Appends tokens [first, first + count) of the whole store to `out`. Throws InputError on an id
  /// beyond the vocabulary, RunError when a file has been cut short.
  void read(int64_t first, int64_t count, Sample& out) const;

 private:
  using Tokens = std::variant<ArrayFile<uint16_t>, ArrayFile<int32_t>>;
  static Tokens open_tokens(const std::filesystem::path& folder, int64_t vocab, int64_t tokens);

  void check_offsets() const;

  int64_t vocab_;
  int64_t count_;  // tokens
  ArrayFile<int64_t> offsets_;
  Tokens tokens_;
  ArrayFile<uint8_t> loss_;
};

}  // namespace dms::train::data
