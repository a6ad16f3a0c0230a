#pragma once
// What an evaluation compares: policies with their settings, over models that are held in several
// storage types.

#include <functional>
#include <string>

#include "dms/llm.h"

namespace dms::eval {

struct Contender {
  std::string label;  // as the user wrote it
  CacheOptions cache{};
  std::string weights = "";  // ModelOptions::weights; empty: the evaluation's own
};

/// The model with these weights; stays where it is. It may take long the first time.
using ModelWith = std::function<LLM&(const std::string& weights)>;

/// Memory of a cache at one moment, or as a mean, and its peak until then.
struct CacheMemory {
  KvStats kv{};
  int64_t peak_bytes = 0;  // highest allocation seen between passes
};

}  // namespace dms::eval
