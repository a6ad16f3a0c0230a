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

/// "what 'type' is not supported", for a part of the pipeline we do not know.
[[noreturn]] void throw_unknown(const std::string& where, const std::string& type);

}  // namespace dms::text
