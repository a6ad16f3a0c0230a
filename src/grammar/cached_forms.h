#pragma once
// Forms compiled for one model: the ones asked for of late are kept, and one that takes too long is
// given up, so that a stranger's form costs those who wait for others little.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "dms/structure.h"

namespace dms::grammar {

/// Thread-safe.
class CachedForms {
 public:
  /// Throws InputError where there is no such form. What it needs lives as long as it does.
  using Compile = std::function<std::shared_ptr<const CompiledStructure>(const Structure&)>;
  struct Limits {
    size_t forms = 64;
    int64_t bytes = int64_t{256} << 20;
    int64_t compile_ms = 10'000;
    int64_t at_once = 2;  // compiled side by side; what was given up counts until it ends
  };

  CachedForms(Compile compile, const Limits& limits);
  /// Waits for what is being compiled, as long as one may take: a program that ends under it takes
  /// away what it needs.
  ~CachedForms();
  CachedForms(const CachedForms&) = delete;
  CachedForms& operator=(const CachedForms&) = delete;

  /// From the cache, or compiled on a thread of its own, once for all who ask for it meanwhile.
  /// Throws InputError, and RunError where others take all places for as long as it may take.
  std::shared_ptr<const CompiledStructure> get(const Structure& structure);

 private:
  struct Job;
  struct State;
  std::shared_ptr<Job> begin(Job job);
  static void run(const std::shared_ptr<State>& state, const std::shared_ptr<Job>& job);

  std::shared_ptr<State> state_;
};

}  // namespace dms::grammar
