#pragma once
// What training sees of the data: fixed-length samples in a fixed order, from a prepared cache on
// the disk.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "train/config/train_config.h"

namespace dms::train {

/// One sample of max_length tokens.
struct Sample {
  std::vector<int32_t> ids;   // [tokens]
  std::vector<uint8_t> loss;  // [tokens]; 1: the token counts as a target
};

struct DatasetReport {
  std::string name;
  int64_t records = 0;    // read or generated, dropped ones included
  int64_t documents = 0;  // kept
  int64_t tokens = 0;
  int64_t loss_tokens = 0;  // of these, targets
  int64_t samples = 0;
  std::map<std::string, int64_t> dropped;  // reason: documents
  int64_t tokens_cut = 0;                  // ends of documents that overflowed their context
  int64_t tokens_left = 0;                 // of the last context, which stayed incomplete
  double weight = 0.0;                     // share of the blend
  int64_t blend_samples = 0;               // samples of one pass over the blend
  std::vector<std::filesystem::path> cache;
  int64_t cache_bytes = 0;
};

/// What was prepared: the blend's order over the datasets' samples. Thread-safe, immutable.
class PreparedData {
 public:
  virtual ~PreparedData() = default;
  virtual int64_t size() const = 0;  // samples of one pass over the blend
  /// Sample `index` of an endless, deterministic order; index may exceed size() (further epochs).
  /// Throws InputError when a cache file turns out to be damaged, RunError when it was cut short.
  virtual Sample sample(int64_t index) const = 0;
  /// Tokens that end a text: nothing can be learned from what follows one.
  virtual const std::vector<int32_t>& end_tokens() const = 0;
  virtual const std::vector<DatasetReport>& report() const = 0;
  /// What a user should know: rebuilt caches, doubled start tokens, much text cut off.
  virtual const std::vector<std::string>& notes() const = 0;
};

/// `stage` says what is being done; done and total count bytes or documents (total 0: not known).
using DataProgress = std::function<void(const std::string& stage, int64_t done, int64_t total)>;

/// Reads, filters, tokenizes, shuffles and packs what the config names, each stage cached under
/// data.cache_dir by the hash of what it depends on. Throws InputError naming file, line and field,
/// RunError when the cache cannot be written.
std::unique_ptr<PreparedData> prepare_data(const TrainConfig& config, const DataProgress& progress);

}  // namespace dms::train
