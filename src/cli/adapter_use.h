#pragma once
// Whether a policy does anything with --adapter: one that is given and not read is told of.

#include <filesystem>
#include <span>
#include <string>

#include "dms/llm.h"

namespace dms::cli {

/// Whether the policy, where none is named the model's own, reads what the adapter is of. `info` is
/// the model's with the adapter.
bool reads_adapter(const CacheOptions& cache, const ModelInfo& info);

/// What the model or its adapter evicts by; empty: neither does.
std::string own_policy(const ModelInfo& info);

/// A note where `adapter` is given and no policy of `caches` reads it.
void note_idle_adapter(const std::filesystem::path& adapter,
                       std::span<const CacheOptions> caches,
                       const ModelInfo& info);

}  // namespace dms::cli
