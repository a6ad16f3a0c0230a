#pragma once
// Prompts from the command line, files and standard input.

#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "dms/llm.h"

namespace CLI {
class App;
}

namespace dms::cli {

/// "-", or the name of a device that is the same.
bool is_standard_input(const std::string& path);
/// What errors call the file that is read for `path`.
std::string input_name(const std::string& path);

/// A path to the same bytes that can be read twice and from anywhere: `path` itself where it is a
/// regular file or nothing, else (a pipe, or "-") a copy in memory that lives as long as the
/// process.
std::filesystem::path seekable_file(const std::filesystem::path& path);

/// A whole UTF-8 text: a file, a pipe, or standard input for "-". Throws InputError naming it.
std::string read_text(const std::string& path);
/// A JSON array of token ids, from a file or "-".
std::vector<int32_t> read_ids(const std::string& path);

/// Where a prompt comes from. At most one of the first three is given.
struct PromptSource {
  std::optional<std::string> text;
  std::string text_file;
  std::string ids_file;
  bool no_special = false;
  bool drops_newline = false;  // the one that ends a text file is the editor's, not the prompt's
};

struct Prompt {
  std::optional<std::string> text;
  std::vector<int32_t> ids;  // where text is absent
  std::string ids_from{};    // the file they are from
};

/// Reads the prompt. `options` names the alternatives in the error when there is none or several.
Prompt read_prompt(const PromptSource& source, const std::string& options);

/// The prompt's tokens. Throws InputError for a text when the model has no tokenizer, and for ids
/// that the model does not have.
std::vector<int32_t> prompt_ids(const ModelSource& model,
                                const Prompt& prompt,
                                bool no_special,
                                int64_t max_tokens = std::numeric_limits<int32_t>::max());

}  // namespace dms::cli
