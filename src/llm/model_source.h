#pragma once
// What an LLM is made from.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>

#include "cpu/options.h"
#include "dms/llm.h"
#include "engine/guide.h"
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
  std::unique_ptr<ModelSource> draft{};  // null: none
  std::unique_ptr<engine::GuideMaker> guides{};
};

namespace llm {

/// Opens ModelOptions::draft for a model of `info`; null where none is named. Throws InputError
/// where it, or one of its tokens, is another than the model's.
std::unique_ptr<ModelSource> open_draft(const ModelOptions& options,
                                        const ModelInfo& info,
                                        const std::optional<Tokenizer>& tokenizer);
/// Of kv_memory_bytes, the draft model's part.
int64_t draft_memory(int64_t kv_memory_bytes, const ModelInfo& model, const ModelInfo& draft);

/// Throws InputError naming `model`, a folder or a GGUF file, where there is none.
const Tokenizer& require_tokenizer(const std::optional<Tokenizer>& tokenizer,
                                   const std::filesystem::path& model);

/// Throws InputError naming `model` where its tokenizer made a token that is not among the `vocab`
/// of its weights.
void require_known(std::span<const int32_t> ids, int64_t vocab, const std::filesystem::path& model);

}  // namespace llm
}  // namespace dms
