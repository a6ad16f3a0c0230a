#include "train/data/dataset_stages.h"

#include <algorithm>
#include <utility>

#include "base/input_file.h"
#include "base/random.h"
#include "base/threads.h"
#include "dms/error.h"
#include "train/data/document_builder.h"
#include "train/data/generator.h"
#include "train/data/parallel.h"
#include "train/data/sha256.h"

namespace dms::train::data {
namespace {

namespace fs = std::filesystem;

// Part of every key: raised when the same settings begin to give other tokens or files.
constexpr int kFormat = 2;
constexpr int64_t kBatchBytes = int64_t{8} << 20;  // of records held while they are tokenized
constexpr int64_t kBatchDocuments = 256;           // generated at a time

std::string setting_of(const DatasetSection& dataset) { return "data.datasets." + dataset.name; }

std::string hash_of(const InputFile& file) {
  constexpr int64_t kPieceBytes = int64_t{1} << 20;
  Sha256 hash;
  for (int64_t at = 0; at < file.bytes(); at += kPieceBytes) {
    hash.add(file.read_text(at, std::min(kPieceBytes, file.bytes() - at)));
  }
  return hash.finish();
}

/// Contents alone: a file that is moved or touched stays what it was.
Json describe(const std::vector<SourceFile>& files) {
  Json list = Json::array();
  for (const SourceFile& file : files) {
    list.push_back({file.is_text(), hash_of(InputFile(file.path))});
  }
  return list;
}

TokenStage open_tokens(const Stage& stage) {
  return {.stage = stage,
          .store = std::make_shared<const TokenStore>(stage.folder, stage.description)};
}

int64_t bytes_of(const fs::path& folder) {
  int64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    bytes += static_cast<int64_t>(entry.file_size());
  }
  return bytes;
}

DatasetReport report_of(const std::string& name, const Json& tokens, const Json& samples) {
  DatasetReport report;
  report.name = name;
  const JsonFields counts(tokens, name);
  report.documents = counts.integer("documents", 0, INT64_MAX);
  report.tokens = counts.integer("tokens", 0, INT64_MAX);
  report.loss_tokens = counts.integer("loss_tokens", 0, INT64_MAX);
  report.records = report.documents;
  if (const Json* dropped = counts.find("dropped")) {
    const JsonFields reasons(*dropped, name);
    for (const auto& [reason, count] : dropped->items()) {
      report.dropped[reason] = reasons.integer(reason, 0, INT64_MAX);
      report.records += report.dropped[reason];
    }
  }
  const JsonFields packed(samples, name);
  report.samples = packed.integer("samples", 0, INT64_MAX);
  report.tokens_cut = packed.integer("tokens_cut", 0, INT64_MAX);
  report.tokens_left = packed.integer("tokens_left", 0, INT64_MAX);
  return report;
}

}  // namespace

DatasetStages::DatasetStages(const TrainConfig& config,
                             const ModelText& model,
                             StageCache& cache,
                             const DataProgress& progress)
    : config_(config),
      model_(model),
      cache_(cache),
      progress_(progress),
      threads_(config.trainer.threads > 0 ? config.trainer.threads : available_cores()) {}

const DatasetSection& DatasetStages::declared(const std::string& name,
                                              const std::string& wanted_by) const {
  const auto& datasets = config_.data.datasets;
  if (const auto found = datasets.find(name); found != datasets.end()) return found->second;
  std::string names;
  for (const auto& [key, dataset] : datasets) names += (names.empty() ? "" : ", ") + key;
  throw InputError({.where = wanted_by,
                    .what = "no such dataset",
                    .got = name,
                    .expected = names.empty() ? "one declared under data.datasets" : names});
}

std::optional<int32_t> DatasetStages::end_token() const {
  return config_.data.add_eos ? model_.end_token() : std::nullopt;
}

Json DatasetStages::common_settings() const {
  const std::optional<int32_t> end = end_token();
  return {{"format", kFormat},
          {"tokenizer", model_.tokenizer_hash},
          {"vocab", model_.vocab},
          {"end_token", end ? Json(*end) : Json()}};
}

TokenStage DatasetStages::read_tokens(const DatasetSection& dataset) {
  const std::vector<SourceFile> files = find_sources(dataset);
  Json settings = common_settings();
  settings.update({{"files", describe(files)},
                   {"field", dataset.field},
                   {"filter", dataset.filter},
                   {"split", dataset.split},
                   {"valid_fraction", dataset.valid_fraction}});
  if (dataset.kind == DatasetKind::conversation) {
    settings.update({{"prompt", dataset.prompt_field},
                     {"response", dataset.response_field},
                     {"template", model_.chat_hash},
                     {"tokenizer_kwargs", config_.data.tokenizer_kwargs},
                     {"assistant_only", config_.data.loss_on == LossOn::assistant}});
  }
  const auto build = [&](const fs::path& folder) { return tokenize(dataset, files, folder); };
  return cache_.get(dataset.name + "-tokens", settings, build, open_tokens);
}

Json DatasetStages::tokenize(const DatasetSection& dataset,
                             const std::vector<SourceFile>& files,
                             const fs::path& folder) const {
  const DocumentBuilder builder(dataset, config_.data, model_);
  int64_t total_bytes = 0;
  for (const SourceFile& file : files) total_bytes += file.bytes;
  TokenWriter writer(folder, model_.vocab);
  RecordReader reader(files);
  Json dropped = Json::object();
  int64_t done_bytes = 0;
  while (true) {
    const std::vector<Record> batch = reader.next_batch(kBatchBytes * threads_);
    if (batch.empty()) break;
    std::vector<BuiltDocument> built(batch.size());
    parallel_for(std::ssize(batch), threads_, [&](int64_t i) {
      built[static_cast<size_t>(i)] = builder.build(batch[static_cast<size_t>(i)]);
    });
    for (const BuiltDocument& item : built) {
      if (item.dropped.empty()) {
        writer.append(item.document);
      } else {
        dropped[item.dropped] = dropped.value(item.dropped, int64_t{0}) + 1;
      }
    }
    for (const Record& record : batch) done_bytes += std::ssize(record.text);
    if (progress_) progress_("tokenize " + dataset.name, done_bytes, total_bytes);
  }
  Json description = writer.finish();
  description["dropped"] = std::move(dropped);
  if (description["documents"] != 0) return description;
  throw InputError({.where = setting_of(dataset),
                    .what = "no documents are left",
                    .got = "dropped: " + description["dropped"].dump()});
}

TokenStage DatasetStages::generate_tokens(const DatasetSection& dataset) {
  const std::string where = setting_of(dataset) + ".generator";
  if (!dataset.filter.empty() || !dataset.split.empty()) {
    throw InputError({.where = where, .what = "filter and split are for datasets that are read"});
  }
  const std::string source_name = generator_source(*dataset.generator, where);
  const TokenStage* source = nullptr;
  if (!source_name.empty()) {
    if (declared(source_name, where + ".source").generator) {
      throw InputError({.where = where + ".source",
                        .what = "is generated itself",
                        .got = source_name,
                        .expected = "a dataset of texts"});
    }
    source = &tokens(source_name);
  }
  const GeneratorContext context{.settings = *dataset.generator,
                                 .where = where,
                                 .model = model_,
                                 .source = source == nullptr ? nullptr : source->store.get(),
                                 .end_token = end_token(),
                                 .max_length = config_.data.max_length,
                                 .seed = config_.trainer.seed};
  Json settings = common_settings();
  settings.update({{"generator", *dataset.generator},
                   {"source", source == nullptr ? Json() : Json(source->stage.key)},
                   {"max_length", config_.data.max_length},
                   {"seed", config_.trainer.seed}});
  const auto build = [&](const fs::path& folder) {
    const auto generator = make_generator(context);
    TokenWriter writer(folder, model_.vocab);
    for (int64_t done = 0; done < generator->documents();) {
      std::vector<Document> batch(
          static_cast<size_t>(std::min(kBatchDocuments * threads_, generator->documents() - done)));
      parallel_for(std::ssize(batch), threads_, [&](int64_t i) {
        batch[static_cast<size_t>(i)] = generator->make(done + i);
      });
      for (const Document& document : batch) writer.append(document);
      done += std::ssize(batch);
      if (progress_) progress_("generate " + dataset.name, done, generator->documents());
    }
    return writer.finish();
  };
  return cache_.get(dataset.name + "-tokens", settings, build, open_tokens);
}

const TokenStage& DatasetStages::tokens(const std::string& name) {
  const auto found = done_.find(name);
  if (found != done_.end()) return found->second;
  const DatasetSection& dataset = declared(name, "data.blend");
  TokenStage stage = dataset.generator ? generate_tokens(dataset) : read_tokens(dataset);
  return done_.emplace(name, std::move(stage)).first->second;
}

SampleStage DatasetStages::samples(const std::string& name) {
  const TokenStage& source = tokens(name);
  const bool is_generated = declared(name, "data.blend").generator.has_value();
  const PackRule rule = is_generated                           ? PackRule::whole
                        : config_.data.concat_always_start_new ? PackRule::cut
                                                               : PackRule::carry;
  const PackSettings packing{.shuffle_seed = config_.trainer.seed ^ stable_hash(name),
                             .max_length = config_.data.max_length,
                             .rule = rule};
  const Json settings = {{"format", kFormat},
                         {"tokens", source.stage.key},
                         {"name", name},
                         {"seed", config_.trainer.seed},
                         {"max_length", packing.max_length},
                         {"rule", static_cast<int>(rule)}};
  const auto build = [&](const fs::path& folder) {
    if (progress_) progress_("pack " + name, 0, source.store->documents());
    return write_sample_index(folder, *source.store, packing);
  };
  const auto open = [&](const Stage& stage) {
    SampleStage samples{.report = report_of(name, source.stage.description, stage.description),
                        .index = std::make_unique<const SampleIndex>(
                            stage.folder, stage.description, source.store, packing.max_length)};
    samples.report.cache = {source.stage.folder, stage.folder};
    samples.report.cache_bytes = bytes_of(source.stage.folder) + bytes_of(stage.folder);
    return samples;
  };
  SampleStage samples = cache_.get(name + "-samples", settings, build, open);
  if (samples.report.samples > 0) return samples;
  throw InputError({.where = "data.datasets." + name,
                    .what = "too little text for one sample",
                    .got = std::to_string(samples.report.tokens) + " tokens",
                    .expected = "at least data.max_length, " + std::to_string(packing.max_length)});
}

}  // namespace dms::train::data
