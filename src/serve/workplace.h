#pragma once
// Where the work of endpoints is done: prompts and files each on a thread of their own, caches on
// the engine's, connections on the I/O thread, which alone may let go of an exchange.

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "serve/attempt.h"
#include "serve/mailbox.h"
#include "serve/prepared.h"
#include "serve/served_engine.h"

namespace dms::serve {

struct Workplace {
  const ServedModel& model;
  ServedEngine& engine;
  Post to_io;
  Post to_worker;                                  // prompts: in order, on one other thread
  Post to_files;                                   // files: in order, on one more
  Post to_compiler;                                // what may take long, on others again
  std::function<void(const std::string&)> notice;  // to who runs the server; any thread
  // Gives up caches that are kept for later and can be had again, because there was no room; I/O
  // thread. False: there are none.
  std::function<bool()> give_way;

  /// Why the engine takes nothing in any longer; I/O thread.
  std::optional<ApiError> engine_fault() const;
  /// What the client is told of a request that ended as "error": that its form is to blame, or to
  /// come again where room was made meanwhile.
  ApiError error_of(const Generation& result) const;
  /// The policy's name, also where it is the model's own, which requests leave unsaid.
  std::string policy_of(const CacheOptions& cache) const;
  /// What `save` returns. Where it cannot write, who runs the server is told why; the client, by an
  /// ApiError (500), that it could not.
  int64_t write(const std::function<int64_t()>& save) const;
  /// A document's file, checked; where files are read. `param` names it to the client. Throws
  /// ApiError: 404 where there is none, 400 where it is damaged or of another model.
  DocumentFile read(const std::filesystem::path& file, const std::string& param) const;
  /// Has the engine's thread make a cache of it, then `done` called on the I/O thread with how many
  /// milliseconds that took; `done` is copied and released there alone.
  void load(const DocumentFile& file,
            std::function<void(const Attempt<Document>& loaded, double ms)> done) const;
};

}  // namespace dms::serve
