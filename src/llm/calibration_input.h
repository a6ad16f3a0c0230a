#pragma once
// What calibrations ask of their options, their model and their text.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "llm/model_source.h"

namespace dms::llm {

/// Of a text, at most.
inline constexpr int64_t kMostTokens = int64_t{1} << 24;

/// Throws InputError naming `field`.
void check_range(const char* field, int64_t value, int64_t min, int64_t max);

/// Throws InputError where the model has trained eviction.
void require_plain(const ModelSpec& spec, const std::filesystem::path& model);

struct CalibrationText {
  std::vector<int32_t> beginning;  // of every text
  std::vector<int32_t> ids;        // at most as many as wanted
};

/// Throws InputError where text, or wanted tokens, are fewer than `least`, or the model does not
/// have some of them.
CalibrationText encode_text(const Tokenizer& tokenizer,
                            const ModelSpec& spec,
                            const std::filesystem::path& model,
                            const std::string& text,
                            int64_t tokens,
                            int64_t least);

}  // namespace dms::llm
