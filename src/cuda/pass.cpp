#include "cuda/pass.h"

#include <algorithm>

namespace dms::cuda {
namespace {

/// Whether one step can compute both.
bool fit_together(const CudaSequence& a, const CudaSequence& b) {
  return &a.bank() == &b.bank() && is_one_rule(a.plan().fate(), b.plan().fate());
}

}  // namespace

Pass::Pass(std::span<const engine::Part> parts) {
  for (const engine::Part& part : parts) {
    left_.push_back({.part = &part, .done = 0, .first_output = logit_rows_});
    if (part.logits == engine::LogitRows::all) logit_rows_ += std::ssize(part.ids);
    if (part.logits == engine::LogitRows::last) logit_rows_ += part.ids.empty() ? 0 : 1;
  }
}

/// Of parts that go with the first one that is not done.
std::vector<Pass::Taken> Pass::take(const StepLimits& limits) {
  std::vector<Taken> taken;
  int64_t room = limits.rows;
  for (Left& left : left_) {
    const int64_t wanted = std::ssize(left.part->ids) - left.done;
    const bool is_full = room == 0 || std::ssize(taken) == limits.decode_rows;
    if (wanted == 0 || is_full) continue;
    if (!taken.empty() &&
        !fit_together(sequence_of(*taken.front().left->part), sequence_of(*left.part))) {
      continue;
    }
    const int64_t count = std::min(wanted, room);
    taken.push_back({.left = &left, .first = left.done, .count = count});
    left.done += count;
    room -= count;
  }
  std::ranges::stable_partition(taken, [](const Taken& one) { return one.count == 1; });
  return taken;
}

bool Pass::next(const StepLimits& limits, PassStep& step) {
  const std::vector<Taken> taken = take(limits);
  if (taken.empty()) return false;
  const CudaSequence& first = sequence_of(*taken.front().left->part);
  step = PassStep();
  step.work.bank = &first.bank();
  step.work.fate = first.plan().fate();
  step.work.needs_logits = first.plan().needs_logits();
  for (const Taken& one : taken) add(one, step);
  return true;
}

void Pass::add(const Taken& taken, PassStep& step) {
  const engine::Part& part = *taken.left->part;
  CudaSequence& sequence = sequence_of(part);
  step.sequences.push_back(&sequence);
  step.counts.push_back(taken.count);
  StepWork& work = step.work;
  const auto is_decoded = taken.count == 1;
  if (is_decoded) {
    ++work.decode_rows;
  } else {
    work.prompts.push_back({.first_row = work.rows(),
                            .count = static_cast<int32_t>(taken.count),
                            .first = static_cast<int32_t>(sequence.tokens()),
                            .window = sequence.plan().window(),
                            .old_sealed_end = sequence.sealed_end(),
                            .sealed_end = sequence.sealed_end_after(taken.count)});
  }
  for (int64_t i = taken.first; i < taken.first + taken.count; ++i) {
    int64_t output = -1;
    if (part.logits == engine::LogitRows::all) output = taken.left->first_output + i;
    const bool is_last = i + 1 == std::ssize(part.ids);
    if (part.logits == engine::LogitRows::last && is_last) output = taken.left->first_output;
    // Where all rows decode, the head serves all: the step is then one graph for their number.
    if (output >= 0 || is_decoded) {
      work.wanted.push_back(work.rows());
      step.outputs.push_back(output);
    }
    work.tokens.push_back(part.ids[static_cast<size_t>(i)]);
    work.positions.push_back(static_cast<int32_t>(sequence.tokens() + i - taken.first));
  }
}

}  // namespace dms::cuda
