// The model that guesses ahead of another: opened like any, and held against it.

#include <algorithm>
#include <string>

#include "llm/model_source.h"

namespace dms::llm {
namespace {

void require_same_tokens(const std::filesystem::path& folder,
                         const ModelInfo& draft,
                         const ModelInfo& model) {
  if (draft.vocab == model.vocab) return;
  throw InputError({.where = folder.string(),
                    .what = "the draft model has other tokens",
                    .got = "a vocabulary of " + std::to_string(draft.vocab),
                    .expected = std::to_string(model.vocab) + ", as the model's"});
}

void require_same_tokens(const std::filesystem::path& folder,
                         const Tokenizer& draft,
                         const Tokenizer& model) {
  const auto spelling = [](const Tokenizer& tokenizer, int64_t id) {
    const auto token = tokenizer.token(static_cast<int32_t>(id));
    return token ? token->text : std::string();
  };
  for (int64_t id = 0; id < std::max(draft.id_limit(), model.id_limit()); ++id) {
    if (spelling(draft, id) == spelling(model, id)) continue;
    throw InputError({.where = folder.string(),
                      .what = "the draft model has other tokens",
                      .got = "'" + spelling(draft, id) + "' as token " + std::to_string(id),
                      .expected = "'" + spelling(model, id) + "', as the model's"});
  }
}

}  // namespace

std::unique_ptr<ModelSource> open_draft(const ModelOptions& options,
                                        const ModelInfo& info,
                                        const std::optional<Tokenizer>& tokenizer) {
  if (options.draft.empty()) return nullptr;
  ModelOptions own = options;
  own.draft.clear();
  own.adapter.clear();
  own.prefix_cache = false;
  own.swap_bytes = 0;
  own.swap_folder.clear();
  auto draft = std::make_unique<ModelSource>(options.draft, own);
  require_same_tokens(options.draft, draft->info(), info);
  if (tokenizer && draft->has_tokenizer()) {
    require_same_tokens(options.draft, draft->tokenizer(), *tokenizer);
  }
  return draft;
}

int64_t draft_memory(int64_t kv_memory_bytes, const ModelInfo& model, const ModelInfo& draft) {
  const auto own = static_cast<double>(draft.kv_bytes_per_token);
  const double both = own + static_cast<double>(model.kv_bytes_per_token);
  return static_cast<int64_t>(static_cast<double>(kv_memory_bytes) * own / both);
}

}  // namespace dms::llm
