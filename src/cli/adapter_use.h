// Whether a policy does anything with --adapter: one that is given and not read is told of.

#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "dms/llm.h"

namespace dms::cli {

/// Three policies are an adapter's own (dms, kvzap, triattention), and two take the window of one
/// that decides as tokens leave it (forced, random). `info` is the model's with the adapter.
bool reads_adapter(const std::string& policy, const ModelInfo& info);

/// The list to measure where none is asked for: the full cache, and what the model or its adapter
/// evicts by.
std::string usual_policies(const ModelInfo& info);

/// A note where `adapter` is given and none of `policies` (names alone; an empty one is the
/// model's own) reads it.
void note_idle_adapter(const std::filesystem::path& adapter,
                       std::span<const std::string> policies,
                       const ModelInfo& info);
void note_idle_adapter(const std::filesystem::path& adapter,
                       const std::string& policy,
                       const ModelInfo& info);

}  // namespace dms::cli
