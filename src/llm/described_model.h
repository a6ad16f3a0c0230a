#pragma once
// A model's files, whichever of the two forms they have: a Hugging Face folder or a GGUF file.

#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "dms/llm.h"
#include "model/spec/generation_config.h"
#include "model/spec/model_spec.h"
#include "model/spec/weights.h"

namespace dms {

namespace gguf {
class File;
}

namespace llm {

inline constexpr std::string_view kTokenizerFile = "tokenizer.json";

struct DescribedModel {
  ModelSpec spec;
  std::filesystem::path path;
  std::shared_ptr<const gguf::File> file;  // null: a folder
  GenerationConfig generation{};

  /// The model's tokenizer where it has one; the end token it names joins the spec's. Throws
  /// InputError where it cannot be read.
  std::optional<Tokenizer> load_tokenizer();
  /// Throws InputError where weights are missing or have another shape.
  std::unique_ptr<WeightSource> open_weights() const;
  ModelInfo info() const;
};

/// Reads what says which model it is. Throws InputError naming file and field.
DescribedModel describe_model(const std::filesystem::path& path, MetadataScope scope);

}  // namespace llm
}  // namespace dms
