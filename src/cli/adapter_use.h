// Whether a policy does anything with --adapter: one that is given and not read is told of.

#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "dms/llm.h"

namespace dms::cli {

/// Whether the policy, where none is named the model's own, reads what the adapter is of. `info` is
/// the model's with the adapter.
bool reads_adapter(const CacheOptions& cache, const ModelInfo& info);

/// The list to measure where none is asked for: the full cache, and what the model or its adapter
/// evicts by.
std::string usual_policies(const ModelInfo& info);

/// A note where `adapter` is given and no policy of `caches` reads it.
void note_idle_adapter(const std::filesystem::path& adapter,
                       std::span<const CacheOptions> caches,
                       const ModelInfo& info);

}  // namespace dms::cli
