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

  int64_t documents() const { return std::ssize(offsets()) - 1; }
  int64_t tokens() const { return offsets().back(); }
  std::span<const int64_t> offsets() const { return offsets_.values(); }  // [documents + 1]

  /// Appends tokens [first, first + count) of the whole store to `out`. Throws InputError on an id
  /// beyond the vocabulary.
  void read(int64_t first, int64_t count, Sample& out) const;

 private:
  using Tokens = std::variant<MappedArray<uint16_t>, MappedArray<int32_t>>;
  static Tokens map_tokens(const std::filesystem::path& folder, int64_t vocab, int64_t tokens);

  int64_t vocab_;
  MappedArray<int64_t> offsets_;
  Tokens tokens_;
  MappedArray<uint8_t> loss_;
};

}  // namespace dms::train::data
