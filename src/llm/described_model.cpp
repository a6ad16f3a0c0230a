#include "llm/described_model.h"

#include <utility>

#include "base/file_status.h"
#include "gguf/file.h"
#include "llm/model_info.h"
#include "model/spec/gguf_model.h"
#include "model/spec/load.h"
#include "text/gguf_tokenizer.h"

namespace dms::llm {
namespace {

bool has_tokenizer(const DescribedModel& model) {
  return model.file ? text::has_gguf_tokenizer(model.file->metadata())
                    : path_exists(model.path / kTokenizerFile);
}

}  // namespace

std::optional<Tokenizer> DescribedModel::load_tokenizer() {
  if (!has_tokenizer(*this)) return std::nullopt;
  Tokenizer tokenizer(path);
  add_end_token(spec, tokenizer.eos_id());
  return tokenizer;
}

std::unique_ptr<WeightSource> DescribedModel::open_weights() const {
  return file ? open_gguf_weights(file, spec) : open_checkpoint(path, spec);
}

ModelInfo DescribedModel::info() const {
  ModelInfo info = make_model_info(spec, generation);
  if (file) info.stored = stored_types(*file);
  return info;
}

DescribedModel describe_model(const std::filesystem::path& path, MetadataScope scope) {
  if (gguf::is_gguf(path)) {
    auto file = std::make_shared<const gguf::File>(path);
    return {.spec = load_gguf_spec(*file), .path = path, .file = file};
  }
  return {.spec = load_spec(path, scope),
          .path = path,
          .file = nullptr,
          .generation = load_generation_config(path)};
}

}  // namespace dms::llm
