#include "cli/output.h"

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/output_file.h"
#include "base/terminal_text.h"
#include "cli/flags.h"
#include "cli/text_table.h"

namespace dms::cli {
namespace {

bool g_line_is_open = false;  // standard output is one for the whole program, and so is this

[[noreturn]] void cannot_write() {
  if (errno == EPIPE) throw ClosedPipe();
  throw RunError({.where = "standard output", .what = "cannot write", .got = std::strerror(errno)});
}

size_t columns_of(int fd) {
  if (isatty(fd) != 1) return kAnyWidth;
  if (const char* text = std::getenv("COLUMNS")) {
    size_t columns = 0;
    std::from_chars(text, text + std::strlen(text), columns);
    if (columns > 0) return columns;
  }
  winsize size{};
  const bool is_known = ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return is_known ? size.ws_col : kAnyWidth;
}

}  // namespace

bool stdin_is_terminal() { return isatty(STDIN_FILENO) == 1; }
bool stdout_is_terminal() { return isatty(STDOUT_FILENO) == 1; }
bool stderr_is_terminal() { return isatty(STDERR_FILENO) == 1; }

size_t stdout_columns() { return columns_of(STDOUT_FILENO); }
size_t stderr_columns() { return columns_of(STDERR_FILENO); }

void print(std::string_view text) {
  if (text.empty()) return;
  const std::string shown = text_for(STDOUT_FILENO, text);
  if (std::fwrite(shown.data(), 1, shown.size(), stdout) != shown.size()) cannot_write();
  g_line_is_open = text.back() != '\n';
}

void print_now(std::string_view text) {
  print(text);
  flush_output();
}

void flush_output() {
  if (std::fflush(stdout) != 0) cannot_write();
}

void end_line() {
  if (!g_line_is_open || !stdout_is_terminal()) return;
  std::fputs("\n", stdout);
  std::fflush(stdout);
  g_line_is_open = false;
}

void print_error(const Error& error) {
  end_line();
  std::fputs(fmt::format("dms: error: {}\n", in_flags(error)).c_str(), stderr);
}

RunError out_of_memory() {
  return RunError({.where = "memory", .what = "the system has no more to give"});
}

void note(std::string_view text) {
  end_line();
  std::fputs(fmt::format("dms: note: {}\n", text).c_str(), stderr);
}

void check_writable(const std::filesystem::path& path) {
  std::error_code ignored;
  const bool is_special = std::filesystem::exists(path, ignored) &&
                          !std::filesystem::is_regular_file(path, ignored) &&
                          !std::filesystem::is_directory(path, ignored);
  // Opening a pipe would already be noticed at its other end.
  if (!path.empty() && !is_special) const OutputFile trial(path);
}

void print_json(const OutputJson& value) {
  print(value.dump(-1, ' ', false, OutputJson::error_handler_t::replace) + "\n");
}

void print_notes(const ModelInfo& info) {
  for (const std::string& note : info.notes) fmt::print(stderr, "dms: note: {}\n", note);
}

OutputJson kv_json(const KvStats& kv, bool with_heads) {
  OutputJson json{{"dense_tokens", kv.dense_tokens},
                  {"held_tokens", kv.held_tokens},
                  {"dense_bytes", kv.dense_bytes},
                  {"allocated_bytes", kv.allocated_bytes},
                  {"peak_bytes", kv.peak_bytes},
                  {"cr", kv.cr},
                  {"cr_bytes", kv.cr_bytes}};
  if (with_heads) json["held_per_head"] = kv.held_per_head;
  return json;
}

std::string kv_summary(const KvStats& kv) {
  return fmt::format("{} of {} entries ({:.2f}x), {} of {} ({:.2f}x)",
                     kv.held_tokens,
                     kv.dense_tokens,
                     kv.cr,
                     format_bytes(kv.allocated_bytes),
                     format_bytes(kv.dense_bytes),
                     kv.cr_bytes);
}

}  // namespace dms::cli
