#pragma once
// KVzip's words for a model: what asks it to repeat what it has read.

#include <filesystem>

#include "cpu/replay_prompt.h"
#include "dms/tokenizer.h"

namespace dms::llm {

/// As NVIDIA/kvpress asks. `model`: whose chat template says how an answer begins. Throws
/// InputError where that is broken.
cpu::ReplayPrompt replay_prompt(const Tokenizer& tokenizer, const std::filesystem::path& model);
/// Makes it when it is first asked for.
cpu::ReplayPromptSource replay_prompt_source(const Tokenizer& tokenizer,
                                             const std::filesystem::path& model);

}  // namespace dms::llm
