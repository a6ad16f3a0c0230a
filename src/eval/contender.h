#pragma once
// What an evaluation compares: policies with their settings, over one model in several storage
// types and with several adapters.

#include <compare>
#include <functional>
#include <string>

#include "dms/llm.h"

namespace dms::eval {

/// The evaluation's model held another way. Empty: as the evaluation holds it.
struct Variant {
  std::string weights{};  // ModelOptions::weights
  std::string adapter{};  // a folder

  auto operator<=>(const Variant&) const = default;
};

struct Contender {
  std::string label;     // as the user wrote it
  CacheOptions cache{};  // policy arguments may be shares of a text (relative_size.h)
  Variant variant{};
  std::string files = "";  // what its own adapter holds; another one's results are not this one's
};

/// What a contender's records are found by, beside what was measured.
inline std::string key_of(const Contender& contender) {
  return contender.files.empty() ? contender.label : contender.label + " " + contender.files;
}

/// The model held so; stays where it is. It may take long the first time.
using ModelWith = std::function<LLM&(const Variant& variant)>;

/// Memory of a cache at one moment, or as a mean, and its peak until then.
struct CacheMemory {
  KvStats kv{};
  int64_t peak_bytes = 0;  // highest allocation seen between passes
};

}  // namespace dms::eval
