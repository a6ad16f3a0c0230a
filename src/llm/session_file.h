#pragma once
// A session or a document as a file: its tokens, its compact cache and the options that keep it, so
// that it goes on later as if it had never been interrupted. A head tells of it what can be told
// without the cache; head and cache have a checksum each.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "dms/cache.h"
#include "engine/sequence.h"

namespace dms::llm {

struct SessionHead {
  CacheOptions options{};
  std::string note{};  // whatever its writer wants to find again
  int64_t dense_tokens = 0;
  int64_t held_tokens = 0;
  int64_t held_bytes = 0;  // when it has been read
  std::vector<int32_t> ids{};
};

/// Of `sequence`, whose usage is `kv`.
SessionHead head_of(const CacheOptions& options,
                    const KvStats& kv,
                    const engine::Sequence& sequence);

/// What the file holds. `fingerprint`: of the model. Nothing of the sequence may be missing.
ByteWriter session_bytes(const std::string& fingerprint,
                         const SessionHead& head,
                         const engine::Sequence& sequence);

/// A file's bytes whose head was found good.
struct SessionBytes {
  std::string where;         // the source, in errors
  SessionHead head{};        // its ids may be of no token
  std::string_view cache{};  // with its checksum
};

/// Throws InputError where the head is damaged, the file was cut, or it is of another model.
SessionBytes parse_session(std::string_view data,
                           const std::string& where,
                           const std::string& fingerprint);
/// Throws InputError where the cache's checksum differs.
void check_cache(const SessionBytes& session);
/// `owner`: as ByteReader's. Throws InputError where the cache is damaged or not the head's,
/// RunError at the memory limit.
std::shared_ptr<engine::Sequence> read_cache(const SessionBytes& session,
                                             engine::Model& model,
                                             std::shared_ptr<const void> owner = {});

}  // namespace dms::llm
