#pragma once
// What a model folder holds beside config and weights: tokenizer, chat template, generation
// defaults, licence, custom code.

#include <filesystem>
#include <string_view>

namespace dms {

/// Is this name (a file's, or a folder's of templates) one that belongs to a model whatever its
/// weights are?
bool is_companion(std::string_view name);

/// Copies them; links are followed. Throws InputError where one cannot be read, RunError when the
/// disk is full.
void copy_companions(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace dms
