#pragma once
// How large a form may be.

#include <cstddef>
#include <cstdint>
#include <string>

#include "dms/structure.h"

namespace dms::grammar {

/// Bounds on what strangers send. Together with them, CachedForms bounds the time.
struct FormLimits {
  size_t bytes = 64 * 1024;
  size_t tag_bytes = kMostTagBytes;  // of a structural tag, each of whose schemas may have `bytes`
  size_t pattern_bytes = 2 * 1024;   // of a form's expressions or grammars, whose states multiply
  size_t counted_properties = 64;    // beside minProperties or maxProperties: the same
  int64_t depth = 48;                // arrays and objects of a schema inside one another
  int64_t values = 16384;            // of all kinds, in a schema
  int64_t tag_depth = 64;            // in a structural tag: a schema, and the tags it is in
  int64_t tag_values = 65536;        // in a structural tag
  int64_t most_count = 10000;  // of characters, items and properties that a schema may ask for
  int64_t choices = 4096;
};

/// Throws InputError of `field` where it has more than `most` bytes; `what` is wrong then.
void check_bytes(size_t bytes,
                 size_t most,
                 const std::string& field,
                 const char* what = "too long");

}  // namespace dms::grammar
