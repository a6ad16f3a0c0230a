#include "cli/output.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include <fmt/format.h>
#include <unistd.h>

#include "cli/text_table.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

[[noreturn]] void cannot_write() {
  throw RunError({.where = "standard output", .what = "cannot write", .got = std::strerror(errno)});
}

}  // namespace

bool stdin_is_terminal() { return isatty(STDIN_FILENO) == 1; }
bool stdout_is_terminal() { return isatty(STDOUT_FILENO) == 1; }
bool stderr_is_terminal() { return isatty(STDERR_FILENO) == 1; }

void print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) cannot_write();
}

void print_now(std::string_view text) {
  print(text);
  flush_output();
}

void flush_output() {
  if (std::fflush(stdout) != 0) cannot_write();
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
