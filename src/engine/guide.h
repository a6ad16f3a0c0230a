#pragma once
// What the engine knows of structured answers: somebody says which tokens may come next. Who does
// is in src/grammar.

#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>

#include "dms/structure.h"

namespace dms::engine {

/// Of one answer. Engine thread only.
class Guide {
 public:
  virtual ~Guide() = default;
  /// Begins to find out what may follow the accepted tokens, and each of `guesses`. Waits for what
  /// was begun before. Throws RunError, as exclude(), where the form takes too much of a core.
  virtual void look_ahead(std::span<const int32_t> guesses) = 0;
  /// Makes -inf of the logits [vocab] of what may not come next. False: nothing may, the answer is
  /// complete. Waits for what is not known yet.
  virtual bool exclude(std::span<float> logits) = 0;
  /// The next token, which exclude() left.
  virtual void accept(int32_t token) = 0;
};

/// Of one model. Thread-safe.
class GuideMaker {
 public:
  virtual ~GuideMaker() = default;
  /// Throws InputError naming Structure::field where the form is malformed, too large, takes too
  /// long, or promises what an answer cannot be held to; RunError where too many compile, or it was
  /// given up meanwhile.
  virtual std::shared_ptr<const CompiledStructure> compile(const Structure& structure,
                                                           const std::stop_token& given_up) = 0;
  /// What compile() made of it, at once; null where that is not known any more.
  virtual std::shared_ptr<const CompiledStructure> find(const Structure& structure) = 0;
  /// Of a structure compiled here, else InputError. `ends`: tokens that end an answer that may end.
  virtual std::unique_ptr<Guide> begin(const Structure& structure,
                                       std::span<const int32_t> ends) = 0;
};

}  // namespace dms::engine
