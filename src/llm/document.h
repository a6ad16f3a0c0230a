#pragma once
// What a document is made of, and how it comes from a sequence or a file.

#include <memory>
#include <string>

#include "base/file_image.h"
#include "dms/document.h"
#include "llm/core.h"
#include "llm/session_file.h"

namespace dms {

struct Document::State {
  CacheOptions options;
  std::string fingerprint;
  KvStats kv;
  int64_t held_bytes = 0;
  std::shared_ptr<const engine::Sequence> sequence;  // whole; it goes on the engine's thread
};

struct DocumentFile::State {
  FileImage image;
  llm::SessionBytes session;  // of the image
  // A document has the mapping for its pages, and those who go on from it may write there.
  mutable bool is_taken = false;
};

namespace llm {

/// Of a sequence that nobody else goes on with. Engine thread only.
Document make_document(const std::shared_ptr<Core>& core,
                       CacheOptions options,
                       std::shared_ptr<engine::Sequence> sequence);

/// With the document that it starts from, and what keeps the one that comes of it. Throws
/// InputError where the request's cache is not the document's.
engine::Submission submission_of(const std::shared_ptr<Core>& core, Request request);

}  // namespace llm
}  // namespace dms
