#pragma once
// A session as a file: its tokens, its compact cache and the options that keep it, so that a
// conversation goes on later as if it had never been interrupted.

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "dms/cache.h"
#include "engine/sequence.h"

namespace dms::llm {

struct SavedSession {
  CacheOptions options;
  std::shared_ptr<engine::Sequence> sequence;
};

/// What the file holds: format, what it was computed with, options, tokens and state, checksum.
ByteWriter session_bytes(const engine::Model& model,
                         const CacheOptions& options,
                         const engine::Sequence& sequence);

/// Whole or not at all. Throws InputError where the file cannot be made, RunError on a full disk.
void write_session(const std::filesystem::path& file,
                   const engine::Model& model,
                   const CacheOptions& options,
                   const engine::Sequence& sequence);

/// Throws InputError where the file is damaged or of another model, RunError at the memory limit.
SavedSession read_session(const std::filesystem::path& file, engine::Model& model);
/// The same from memory; `where` names the source in errors.
SavedSession parse_session(std::string_view data, const std::string& where, engine::Model& model);

}  // namespace dms::llm
