#include "engine/speculation.h"

#include <bit>

namespace dms::engine {

Speculation::Speculation()
    : acceptance_{Acceptance(0.1),
                  Acceptance(0.3),
                  Acceptance(0.5),
                  Acceptance(0.7),
                  Acceptance(0.8),
                  Acceptance(0.9)} {}

std::vector<int32_t> Speculation::guess(std::span<const int32_t> text,
                                        int32_t next,
                                        const PassCost& pass,
                                        int64_t most) {
  const auto known = static_cast<size_t>(lookup_.tokens());
  if (known < text.size()) lookup_.append(text.subspan(known));
  if (known <= text.size()) lookup_.append(next);
  const PromptLookup::Match match = lookup_.longest_match();
  if (match.length == 0) return {};
  kind_ = static_cast<size_t>(std::bit_width(static_cast<uint64_t>(match.length)) - 2);
  return lookup_.following(match, acceptance_[kind_].worth(pass, most));
}

void Speculation::learn(int64_t guessed, int64_t right) {
  acceptance_[kind_].learn(guessed, right);
}

}  // namespace dms::engine
