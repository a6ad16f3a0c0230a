#include "model/spec/companion_files.h"

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <system_error>

#include "base/file_status.h"
#include "base/input_file.h"
#include "base/output_file.h"

namespace dms {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 6> kNames{"generation_config.json",
                                                 "special_tokens_map.json",
                                                 "added_tokens.json",
                                                 "vocab.json",
                                                 "vocab.txt",
                                                 "merges.txt"};
constexpr std::array<std::string_view, 6> kPrefixes{
    "tokenizer", "chat_template", "additional_chat_templates", "LICENSE", "LICENCE", "NOTICE"};
constexpr std::array<std::string_view, 2> kSuffixes{".tiktoken", ".py"};

void copy_durably(const fs::path& from, const fs::path& to) {
  constexpr int64_t kPieceBytes = int64_t{1} << 20;
  const InputFile source(from);
  OutputFile target(to);
  for (int64_t at = 0; at < source.bytes(); at += kPieceBytes) {
    const std::string piece = source.read_text(at, std::min(kPieceBytes, source.bytes() - at));
    target.write(std::as_bytes(std::span(piece)));
  }
  target.close();
}

}  // namespace

bool is_companion(std::string_view name) {
  const auto begins = [name](std::string_view prefix) { return name.starts_with(prefix); };
  const auto ends = [name](std::string_view suffix) { return name.ends_with(suffix); };
  return std::ranges::find(kNames, name) != kNames.end() ||
         std::ranges::any_of(kPrefixes, begins) || std::ranges::any_of(kSuffixes, ends);
}

void copy_companions(const fs::path& from, const fs::path& to) {
  for (const fs::path& item : entries_of(from)) {
    const fs::path name = item.filename();
    if (!is_companion(name.string())) continue;
    if (is_file(item)) {
      copy_durably(item, to / name);
    } else if (is_folder(item)) {
      std::error_code error;
      fs::copy(item, to / name, fs::copy_options::recursive, error);
      if (error) throw_write_error(to / name, error.value());
    }
  }
}

}  // namespace dms
