#pragma once
// How many of its entries a layer keeps, and which, once they have scores: the selection rules that
// NVIDIA/kvpress's presses share (ScorerPress, AdaKVPress).

#include <cstdint>
#include <optional>
#include <vector>

#include "policy/policy.h"

namespace dms::policy {

/// [kv_heads][entries], the higher the better; infinity: it stays in any case.
using Scores = std::vector<std::vector<float>>;

enum class BudgetOver {
  head,   // each head keeps the same number
  layer,  // the layer keeps as many in all, its heads what they have best (AdaKV)
};

struct Budget {
  double compression_ratio = 0.5;    // share of a prompt's entries that goes
  std::optional<int64_t> entries{};  // or: what each head holds after it
  BudgetOver over = BudgetOver::head;

  /// compression_ratio, budget and budget_over of --policy-args. Throws InputError.
  static Budget read(ArgReader& args);
};

/// What goes of a prompt that has ended. By the ratio, of its own entries, int(T * (1 - ratio)) a
/// head stay; by the number, of all entries. `protected_tokens`: its last ones stay whatever their
/// scores.
cache::EvictionPlan plan_prompt(const Budget& budget,
                                const cache::LayerEntries& layer,
                                Scores scores,
                                int64_t protected_tokens);

/// The `drop` lowest of each head go, of equal ones the older.
cache::EvictionPlan drop_lowest(const Scores& scores, const std::vector<int64_t>& drop);

}  // namespace dms::policy
