#pragma once
// What is odd about a folder and was read all the same.

#include "dms/error.h"
#include "model/spec/model_spec.h"

namespace dms {

/// Adds a note in the words of an error: one line of valid text, whatever a hostile file holds.
inline void add_note(ModelSpec& spec, const ErrorParts& parts) {
  spec.notes.emplace_back(InputError(parts).what());
}

}  // namespace dms
