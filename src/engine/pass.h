#pragma once
// What one step computes: the work of several requests, a part each.

#include <algorithm>
#include <vector>

#include "engine/model.h"
#include "engine/running.h"

namespace dms::engine {

struct Pass {
  std::vector<Running*> owners;
  std::vector<Running::Work> work;
  std::vector<Part> parts;

  bool is_empty() const { return parts.empty(); }
  void add(Running& running, const Running::Work& what) {
    const Sequence& sequence = running.sequence();
    owners.push_back(&running);
    work.push_back(what);
    parts.push_back(
        {.sequence = &running.sequence().state(),
         .ids = what.ids,
         .logits = what.logits,
         .length = running.sequence().length(),
         .ended_prompt = what.ended_prompt,
         .drafted = what.drafted,
         .decoded = what.decoded,
         .before = sequence.ids().first(static_cast<size_t>(sequence.state().tokens()))});
  }
  bool has_drafts() const {
    return std::ranges::any_of(work, [](const Running::Work& what) { return what.drafted > 0; });
  }
  void pop() {
    owners.pop_back();
    work.pop_back();
    parts.pop_back();
  }
};

}  // namespace dms::engine
