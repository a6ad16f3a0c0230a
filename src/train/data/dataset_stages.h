#pragma once
// One dataset through its two cached stages: tokens (read, filtered, tokenized, or generated), then
// samples (shuffled and packed).

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "train/config/train_config.h"
#include "train/data/batches.h"
#include "train/data/model_text.h"
#include "train/data/sample_index.h"
#include "train/data/sources.h"
#include "train/data/stage_cache.h"
#include "train/data/token_store.h"

namespace dms::train::data {

struct TokenStage {
  Stage stage;
  std::shared_ptr<const TokenStore> store;
};

struct SampleStage {
  DatasetReport report;
  std::unique_ptr<const SampleIndex> index;
};

/// One thread at a time.
class DatasetStages {
 public:
  /// What is referred to must outlive this.
  DatasetStages(const TrainConfig& config,
                const ModelText& model,
                StageCache& cache,
                const DataProgress& progress);

  /// Throws InputError when the dataset is not declared, has no documents or gives no sample.
  SampleStage samples(const std::string& name);

 private:
  const TokenStage& tokens(const std::string& name);
  const DatasetSection& declared(const std::string& name, const std::string& wanted_by) const;
  std::optional<int32_t> end_token() const;  // what is put after texts
  Json common_settings() const;
  TokenStage read_tokens(const DatasetSection& dataset);
  TokenStage generate_tokens(const DatasetSection& dataset);
  Json tokenize(const DatasetSection& dataset,
                const std::vector<SourceFile>& files,
                const std::filesystem::path& folder) const;

  const TrainConfig& config_;
  const ModelText& model_;
  StageCache& cache_;
  const DataProgress& progress_;
  int64_t threads_;
  std::map<std::string, TokenStage> done_;
};

}  // namespace dms::train::data
