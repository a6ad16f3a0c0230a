#pragma once
// What an LLM is made from.

#include <filesystem>
#include <memory>
#include <optional>

#include "cpu/options.h"
#include "dms/llm.h"
#include "model/spec/model_spec.h"
#include "model/spec/weights.h"

namespace dms {

struct ModelSource::State {
  ModelSpec spec;  // with the adapter's eviction
  cpu::ResolvedModelOptions options;
  std::unique_ptr<WeightSource> weights;  // with the adapter's
  std::optional<Tokenizer> tokenizer{};
  std::filesystem::path folder{};  // or GGUF file; empty: random weights
  ModelInfo info{};
};

namespace llm {

/// Throws InputError naming `model`, a folder or a GGUF file, where there is none.
const Tokenizer& require_tokenizer(const std::optional<Tokenizer>& tokenizer,
                                   const std::filesystem::path& model);

}  // namespace llm
}  // namespace dms
