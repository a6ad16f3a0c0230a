#pragma once
// Standard output and the terminal. Every write is checked: a full disk is a RunError, not silence,
// and a reader that went away (`| head`) ends the program.

#include <cstddef>
#include <exception>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "dms/error.h"
#include "dms/llm.h"

namespace dms::cli {

/// JSON that keeps its fields in the order they were written.
using OutputJson = nlohmann::ordered_json;

bool stdin_is_terminal();
bool stdout_is_terminal();
bool stderr_is_terminal();

/// Nobody reads standard output any longer: no failure, but no reason to go on.
class ClosedPipe : public std::exception {};

/// Columns of the terminal that standard output or error is: COLUMNS where it is set, else what the
/// terminal says. No limit where it is none.
inline constexpr size_t kAnyWidth = std::numeric_limits<size_t>::max();
size_t stdout_columns();
size_t stderr_columns();

/// Writes to standard output; on a terminal without control characters (base/terminal_text.h), so
/// hand it whole characters. Throws RunError when it cannot be written, ClosedPipe when nobody
/// reads it.
void print(std::string_view text);
/// The same, and makes it visible at once.
void print_now(std::string_view text);
void flush_output();
/// Before something else is written to the terminal: ends a line that print() has begun on it.
void end_line();
/// "dms: error: …" on standard error.
void print_error(const Error& error);
RunError out_of_memory();
/// "dms: note: …" on standard error.
void note(std::string_view text);
/// Throws InputError where a file could not be written to, before the work it is to hold; nothing
/// for an empty path.
void check_writable(const std::filesystem::path& path);
/// One object on one line; text that is not UTF-8 is repaired.
void print_json(const OutputJson& value);

/// What is odd about the model, on standard error.
void print_notes(const ModelInfo& info);

/// The fields every `kv` object has, and, if asked for, entries held per layer and head.
OutputJson kv_json(const KvStats& kv, bool with_heads);
/// "36144 of 36144 entries (1.00x), 1.2 MiB of 9.3 MiB (7.75x)".
std::string kv_summary(const KvStats& kv);

}  // namespace dms::cli
