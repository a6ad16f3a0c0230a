#pragma once
// Standard output and the terminal. Every write is checked: a full disk or a closed pipe is a
// RunError, not silence.

#include <string_view>

#include <nlohmann/json.hpp>

#include "dms/llm.h"

namespace dms::cli {

/// JSON that keeps its fields in the order they were written.
using OutputJson = nlohmann::ordered_json;

bool stdin_is_terminal();
bool stdout_is_terminal();
bool stderr_is_terminal();

/// Writes to standard output. Throws RunError when it cannot be written.
void print(std::string_view text);
/// The same, and makes it visible at once.
void print_now(std::string_view text);
void flush_output();
/// One object on one line; text that is not UTF-8 is repaired.
void print_json(const OutputJson& value);

/// What is odd about the model, on standard error.
void print_notes(const ModelInfo& info);

/// The fields every `kv` object has, and, if asked for, entries held per layer and head.
OutputJson kv_json(const KvStats& kv, bool with_heads);
/// "36144 of 36144 entries (1.00x), 1.2 MiB of 9.3 MiB (7.75x)".
std::string kv_summary(const KvStats& kv);

}  // namespace dms::cli
