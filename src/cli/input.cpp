#include "cli/input.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/input_file.h"
#include "base/token_ids.h"
#include "base/utf8.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 30;

constexpr const char* kStandardInput = "standard input";
constexpr std::array kStandardInputs{"-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"};

bool is_regular(const std::filesystem::path& path) {
  std::error_code ignored;  // what cannot be looked up is for the reader to refuse
  return std::filesystem::is_regular_file(path, ignored);
}

/// Hands over a pipe's bytes block by block, at most kMaxBytes.
template <class Sink>
void read_stream(std::FILE* file, const std::string& where, Sink sink) {
  std::array<char, size_t{1} << 16> block;
  int64_t total = 0;
  for (size_t count = 0; (count = std::fread(block.data(), 1, block.size(), file)) > 0;) {
    total += static_cast<int64_t>(count);
    if (total > kMaxBytes) {
      throw InputError({.where = where,
                        .what = "too large",
                        .expected = fmt::format("at most {} bytes", kMaxBytes)});
    }
    sink(std::string_view(block.data(), count));
  }
  if (std::ferror(file) == 0) return;
  throw InputError(
      {.where = where, .what = fmt::format("cannot be read: {}", std::strerror(errno))});
}

/// `path` as a stream, or standard input for "-".
template <class Sink>
void read_unseekable(const std::string& path, Sink sink) {
  if (path == "-") {
    read_stream(stdin, kStandardInput, sink);
    return;
  }
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             std::fclose);
  if (!file) {
    throw InputError(
        {.where = path, .what = fmt::format("cannot be read: {}", std::strerror(errno))});
  }
  read_stream(file.get(), path, sink);
}

void append_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      throw RunError({.where = "copy of a pipe in memory", .what = std::strerror(errno)});
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

void require_utf8(const std::string& text, const std::string& where) {
  if (is_well_formed(text)) return;
  throw InputError({.where = where, .what = "is not text", .expected = "UTF-8"});
}

}  // namespace

bool is_standard_input(const std::string& path) {
  return std::ranges::find(kStandardInputs, path) != kStandardInputs.end();
}

std::string input_name(const std::string& path) { return path == "-" ? kStandardInput : path; }

std::filesystem::path seekable_file(const std::filesystem::path& path) {
  std::error_code ignored;
  const bool is_pipe =
      path == "-" || (std::filesystem::exists(path, ignored) && !is_regular(path) &&
                      !std::filesystem::is_directory(path, ignored));
  if (!is_pipe) return path;
  const int fd = ::memfd_create("dms-input", 0);
  if (fd < 0) throw RunError({.where = path.string(), .what = std::strerror(errno)});
  read_unseekable(path, [fd](std::string_view bytes) { append_all(fd, bytes); });
  return fmt::format("/proc/self/fd/{}", fd);
}

std::string read_text(const std::string& path) {
  std::string text;
  if (is_regular(path)) {
    text = read_text_file(path, kMaxBytes);
  } else {
    read_unseekable(path, [&text](std::string_view bytes) { text += bytes; });
  }
  require_utf8(text, input_name(path));
  return text;
}

std::vector<int32_t> read_ids(const std::string& path) {
  return parse_ids(read_text(path), input_name(path));
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
    if (source.no_special) {
      throw InputError({.where = "--no-special", .what = "has no effect on ids", .got = "--ids"});
    }
    return {.text = std::nullopt,
            .ids = read_ids(source.ids_file),
            .ids_from = input_name(source.ids_file)};
  }
  if (source.text) {
    require_utf8(*source.text, "-p");
    return {.text = source.text, .ids = {}};
  }
  std::string text = read_text(source.text_file);
  if (source.drops_newline && text.ends_with('\n')) {
    text.resize(text.size() - (text.ends_with("\r\n") ? 2 : 1));
  }
  return {.text = std::move(text), .ids = {}};
}

namespace {

/// Why a policy leaves a prompt less than the model's context.
std::string rest_of_context(int64_t context, int64_t max_tokens) {
  if (max_tokens >= context) return {};
  return fmt::format(
      "of the model's {} tokens the policy needs the others, to have the prompt repeated", context);
}

}  // namespace

std::vector<int32_t> prompt_ids(const ModelSource& model,
                                const Prompt& prompt,
                                bool no_special,
                                int64_t max_tokens) {
  if (prompt.text) {
    std::vector<int32_t> ids = model.encode(*prompt.text, !no_special, max_tokens);
    if (std::ssize(ids) <= max_tokens) return ids;
    throw InputError({.where = "prompt",
                      .what = "longer than the model's context",
                      .got = fmt::format("more than {} tokens", max_tokens),
                      .expected = fmt::format("at most {}", max_tokens),
                      .hint = rest_of_context(model.info().context, max_tokens)});
  }
  const int64_t vocab = model.info().vocab;
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
