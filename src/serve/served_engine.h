#pragma once
// A model whose passes somebody computes: a server's own thread (engine_thread.h), or a program
// that has use of the model itself.

#include <chrono>

#include "dms/llm.h"

namespace dms::serve {

class ServedEngine {
 public:
  enum class State { kLoading, kReady, kFailed };

  virtual ~ServedEngine() = default;

  virtual State state() const = 0;
  /// Once it is ready. What any thread may call of it (dms/llm.h) may be called here.
  virtual LLM& llm() = 0;
  /// How long the pass that is computed now has taken; zero where none is.
  virtual std::chrono::steady_clock::duration pass_age() const = 0;
};

}  // namespace dms::serve
