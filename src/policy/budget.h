#pragma once
// How many of its entries a layer keeps, and which, once they have scores: the selection rules that
// NVIDIA/kvpress's presses share (ScorerPress, AdaKVPress).

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "policy/policy.h"

namespace dms::policy {

/// [kv_heads][entries], the higher the better; infinity: it stays in any case.
using Scores = std::vector<std::vector<float>>;

/// Better than any other, yet within the budget.
inline constexpr float kBest = std::numeric_limits<float>::max();

enum class BudgetOver {
  head,   // each head keeps the same number
  layer,  // the layer keeps as many in all, its heads what they have best (AdaKV)
};

struct Budget {
  double compression_ratio = 0.5;    // share of what is ranked that goes
  std::optional<int64_t> entries{};  // or: what each head holds after it
  BudgetOver over = BudgetOver::head;

  /// compression_ratio, budget and budget_over of --policy-args. Throws InputError.
  static Budget read(ArgReader& args);
};

/// What goes of the entries of `layer`, of which `scores` has one for each. By the ratio,
/// int(n * (1 - ratio)) a head stay. `newest`: those of so many last tokens stay whatever their
/// scores, of a prompt that has ended no more than it has.
cache::EvictionPlan select(const Budget& budget,
                           const cache::LayerEntries& layer,
                           Scores scores,
                           int64_t newest);

/// The `drop` lowest of each head go, of equal ones the older.
cache::EvictionPlan drop_lowest(const Scores& scores, const std::vector<int64_t>& drop);

}  // namespace dms::policy
