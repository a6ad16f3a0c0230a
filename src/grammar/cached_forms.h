#pragma once
// Forms compiled for one model: the ones asked for of late are kept, and one that takes too long is
// given up, so that a stranger's form costs those who wait for others little.

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>

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
    int64_t at_once = 2;  // compiled side by side
    // Beside these, those that nobody waits for any longer: none can be ended from outside. More of
    // them take the places of others until they end.
    int64_t left = 2;
  };

  CachedForms(Compile compile, const Limits& limits);
  /// Waits for what is being compiled, as long as one may take: a program that ends under it takes
  /// away what it needs.
  ~CachedForms();
  CachedForms(const CachedForms&) = delete;
  CachedForms& operator=(const CachedForms&) = delete;

  /// From the cache, or compiled on a thread of its own, once for all who ask for it meanwhile.
  /// Throws InputError, and RunError where others take all places for as long as it may take, or
  /// where it is given up: what was not begun by then never is.
  std::shared_ptr<const CompiledStructure> get(const Structure& structure,
                                               const std::stop_token& given_up = {});
  /// From the cache; null where it is not there.
  std::shared_ptr<const CompiledStructure> find(const Structure& structure);

 private:
  struct Job;
  struct State;
  class Waiter;
  std::shared_ptr<Job> begin(Job job);
  static void run(const std::shared_ptr<State>& state, const std::shared_ptr<Job>& job);

  std::shared_ptr<State> state_;
};

}  // namespace dms::grammar
