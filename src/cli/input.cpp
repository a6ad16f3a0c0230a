#include "cli/input.h"

#include <cstdio>

#include <fmt/format.h>

#include "base/input_file.h"
#include "base/token_ids.h"
#include "dms/error.h"
#include "text/utf8.h"

namespace dms::cli {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 30;

std::string read_standard_input() {
  std::string text;
  char buffer[1 << 16];
  for (size_t count = 0; (count = std::fread(buffer, 1, sizeof buffer, stdin)) > 0;) {
    text.append(buffer, count);
    if (static_cast<int64_t>(text.size()) > kMaxBytes) {
      throw InputError({.where = "standard input",
                        .what = "too large",
                        .expected = fmt::format("at most {} bytes", kMaxBytes)});
    }
  }
  return text;
}

void require_utf8(const std::string& text, const std::string& where) {
  if (text::is_well_formed(text)) return;
  throw InputError({.where = where, .what = "is not text", .expected = "UTF-8"});
}

}  // namespace

std::string read_text(const std::string& path) {
  std::string text = path == "-" ? read_standard_input() : read_text_file(path, kMaxBytes);
  require_utf8(text, path == "-" ? "standard input" : path);
  return text;
}

std::vector<int32_t> read_ids(const std::string& path) {
  const std::string where = path == "-" ? "standard input" : path;
  return parse_ids(read_text(path), where);
}

Prompt read_prompt(const PromptSource& source, const std::string& options) {
  const int given = (source.text ? 1 : 0) + (source.text_file.empty() ? 0 : 1) +
                    (source.ids_file.empty() ? 0 : 1);
  if (given != 1) {
    throw InputError({.where = "prompt",
                      .what = given == 0 ? "missing" : "given more than once",
                      .expected = "one of " + options});
  }
  if (!source.ids_file.empty()) {
    return {.text = std::nullopt, .ids = read_ids(source.ids_file), .ids_from = source.ids_file};
  }
  if (!source.text) return {.text = read_text(source.text_file), .ids = {}};
  require_utf8(*source.text, "-p");
  return {.text = source.text, .ids = {}};
}

std::vector<int32_t> prompt_ids(const LLM& llm, const Prompt& prompt, bool no_special) {
  if (prompt.text) return llm.encode(*prompt.text, !no_special);
  const int64_t vocab = llm.info().vocab;
  for (size_t i = 0; i < prompt.ids.size(); ++i) {
    if (prompt.ids[i] < vocab) continue;
    throw InputError({.where = fmt::format("{}: element {}", prompt.ids_from, i),
                      .what = "out of range",
                      .got = std::to_string(prompt.ids[i]),
                      .expected = fmt::format("0 to {}", vocab - 1)});
  }
  return prompt.ids;
}

}  // namespace dms::cli
