#pragma once
// The packed samples of one dataset, in shuffled order: the order of its documents and where in it
// each sample begins, as files of a cached stage. The tokens themselves stay in the TokenStore.
//   order.bin   int64 [documents]
//   starts.bin  SampleStart [samples]

#include <cstdint>
#include <filesystem>
#include <memory>

#include "base/json.h"
#include "train/data/array_file.h"
#include "train/data/packing.h"
#include "train/data/token_store.h"

namespace dms::train::data {

struct PackSettings {
  uint64_t shuffle_seed = 0;
  int64_t max_length = 0;
  PackRule rule = PackRule::cut;
};

/// Shuffles and packs `store`'s documents into the files; returns what SampleIndex needs to know.
Json write_sample_index(const std::filesystem::path& folder,
                        const TokenStore& store,
                        const PackSettings& settings);

/// Thread-safe.
class SampleIndex {
 public:
  /// Throws InputError when the files do not fit their description or the store.
  SampleIndex(const std::filesystem::path& folder,
              const Json& description,
              std::shared_ptr<const TokenStore> store,
              int64_t max_length);

  int64_t samples() const { return starts_.size(); }
  /// Exactly max_length tokens.
  Sample sample(int64_t index) const;

 private:
  std::shared_ptr<const TokenStore> store_;
  int64_t max_length_;
  ArrayFile<int64_t> order_;
  ArrayFile<SampleStart> starts_;
};

}  // namespace dms::train::data
