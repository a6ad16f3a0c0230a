#pragma once
// Options that several commands share, declared once. All check their values while they are read.

#include <filesystem>
#include <string>

#include "cli/declare.h"
#include "dms/llm.h"

namespace dms::cli {

inline constexpr int64_t kMaxTokens = int64_t{1} << 31;

/// The positional MODEL. `require_model` says that it was given.
void add_model_folder(CLI::App& app, std::string& folder);
void require_model(const std::string& folder);

/// --draft
void add_draft(CLI::App& app, std::filesystem::path& draft);
/// Throws InputError where a draft model is named and nothing is to be guessed.
void check_draft(const ModelOptions& options, const SamplingParams& sampling);

/// --adapter
void add_adapter(CLI::App& app, std::filesystem::path& adapter);

/// --dtype --weights --threads --chunk --device --adapter
void add_model_options(CLI::App& app, ModelOptions& options);
/// --max-batch-tokens --max-sequences
void add_scheduling_options(CLI::App& app, ModelOptions& options);
/// --policy --policy-args --decisions --window --kv-dtype --kv-memory --preallocate
void add_cache_options(CLI::App& app, CacheOptions& options);
/// The same without --policy.
void add_cache_options_but_policy(CLI::App& app, CacheOptions& options);
/// The options with a decisions file that can be read again and again.
CacheOptions with_seekable_files(CacheOptions options);

/// Reads the weights; says so on a terminal. What is odd about the model goes to standard error, a
/// line each; with `json` it is left to the object that the command prints ("notes").
LLM load_model(ModelSource source, const std::string& name, bool json = false);

}  // namespace dms::cli
