#include "held_api.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <utility>

namespace dms::python {
namespace {

/// A quarter of the memory for documents, and as much for slots, where nothing else was said.
serve::ServerSettings with_shares(serve::ServerSettings settings, int64_t kv_memory) {
  constexpr int64_t kShare = 4;
  const int64_t share = kv_memory > 0 ? kv_memory / kShare : std::numeric_limits<int64_t>::max();
  for (int64_t* bytes : {&settings.documents.memory_bytes, &settings.slots.memory_bytes}) {
    if (*bytes == 0) *bytes = share;
  }
  return settings;
}

void print_note(const std::string& text) {
  std::fputs(("dms_cpp: " + text + "\n").c_str(), stderr);
}

}  // namespace

HeldApi::Parts::Parts(Driver& driver, serve::ServerSettings settings, serve::ServedModel model)
    : engine(driver),
      server(with_shares(std::move(settings), driver.llm().stats().kv_limit_bytes),
             std::move(model),
             engine,
             print_note) {}

HeldApi::HeldApi(std::shared_ptr<Driver> driver,
                 serve::ServerSettings settings,
                 const serve::ServedOptions& options,
                 const CacheOptions& cache)
    : driver_(std::move(driver)),
      parts_(std::make_shared<Parts>(
          *driver_, std::move(settings), serve::describe_model(driver_->llm(), cache, options))) {
  driver_->keep(parts_, [parts = parts_.get()] { parts->server.halt(); });
}

}  // namespace dms::python
