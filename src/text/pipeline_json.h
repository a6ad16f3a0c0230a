#pragma once
// Small readers shared by the parts of tokenizer.json.

#include <string>
#include <string_view>

#include "base/json.h"
#include "text/splitter.h"

namespace dms::text {

/// {"String": …} or {"Regex": …}. Throws InputError for anything else.
Pattern read_pattern(const Json& json, const std::string& where);

/// A field with exactly one character.
std::string read_character(const JsonFields& fields, std::string_view key);

/// The elements of the array in `key`, each an object.
const Json& read_steps(const JsonFields& fields, std::string_view key);

/// Throws InputError unless a stage has a sane number of steps: each is run over all of a text.
void check_steps(size_t steps, const std::string& where);

/// "'type' is not supported", for a part of the pipeline we do not know; `supported` lists the
/// others.
[[noreturn]] void throw_unknown(const std::string& where,
                                const std::string& type,
                                std::string supported);

}  // namespace dms::text
