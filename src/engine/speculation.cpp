#include "engine/speculation.h"

#include <bit>

namespace dms::engine {
namespace {

size_t kind_of(const PromptLookup::Match& match) {
  return static_cast<size_t>(std::bit_width(static_cast<uint64_t>(match.length)) - 2);
}

}  // namespace

Speculation::Speculation()
    : copies_{Acceptance(0.1),
              Acceptance(0.3),
              Acceptance(0.5),
              Acceptance(0.7),
              Acceptance(0.8),
              Acceptance(0.9)} {}

void Speculation::look_up(std::span<const int32_t> text, int32_t next) {
  const auto known = static_cast<size_t>(lookup_.tokens());
  if (known < text.size()) lookup_.append(text.subspan(known));
  if (known <= text.size()) lookup_.append(next);
  match_ = lookup_.longest_match();
}

bool Speculation::prefers_copies(const PassCost& pass,
                                 const PassCost& draft_pass,
                                 int64_t most) const {
  if (match_.length == 0) return false;
  const Worth copies = copies_[kind_of(match_)].best(pass, most);
  return copies.guesses > 0 && copies.rate >= drafts_.best(draft_pass, most).rate;
}

std::vector<int32_t> Speculation::copy(const PassCost& pass, int64_t most) {
  if (match_.length == 0) return {};
  guessed_ = &copies_[kind_of(match_)];
  return lookup_.following(match_, guessed_->worth(pass, most));
}

int64_t Speculation::drafts_wanted(const PassCost& pass, int64_t most) {
  guessed_ = &drafts_;
  return drafts_.worth(pass, most);
}

void Speculation::learn(int64_t guessed, int64_t right) { guessed_->learn(guessed, right); }

}  // namespace dms::engine
