#pragma once
// What sequences really hold, beside what their plans expected: sizes the next ones. The more of a
// kind have been seen, the less the plan's guess counts. Engine thread only.

#include <cstdint>
#include <map>
#include <string>

#include "engine/model.h"

namespace dms::engine {

class Retention {
 public:
  /// What a sequence under `plan` takes as it grows from so many tokens to so many.
  Expectation expectation(const SequencePlan& plan, int64_t from_tokens, int64_t to_tokens) const;
  /// A sequence of `tokens` tokens held `bytes`.
  void learn(const SequencePlan& plan, int64_t tokens, int64_t bytes);

 private:
  std::map<std::string, double> ratios_;  // held to what was expected, by the plan's name
};

}  // namespace dms::engine
