#pragma once
// How many of its entries a layer keeps, and which, once they have scores: the selection rules that
// NVIDIA/kvpress's presses share (ScorerPress, AdaKVPress, CriticalKVPress, DecodingPress).

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "policy/policy.h"

namespace dms::policy {

/// [kv_heads][entries], the higher the better.
using Scores = std::vector<std::vector<float>>;

/// Tokens between the cuts under a size, and of a chunk of the policy `chunked`.
inline constexpr int64_t kDefaultInterval = 128;
inline constexpr int64_t kDefaultChunkLength = 1024;

/// Of what stays in any case.
inline constexpr float kStays = std::numeric_limits<float>::infinity();
/// Better than any other, yet within the budget.
inline constexpr float kBest = std::numeric_limits<float>::max();

enum class BudgetOver {
  head,   // each head keeps the same number
  layer,  // the layer keeps as many in all, its heads what they have best (AdaKV)
  model,  // likewise all layers together, and no share is a head's in any case (KVzip)
};

struct Budget {
  double compression_ratio = 0.5;    // share of what is ranked that goes
  std::optional<int64_t> entries{};  // or: what each head holds after it
  BudgetOver over = BudgetOver::head;
  double alpha_safeguard = 0.2;  // over a layer: this share of its even budget is each head's
  bool critical = false;         // two stages, the second by what values become (CriticalKV)
  // What comes is ranked at the multiples of so many tokens as well, prompt or not; 0: it is not.
  int64_t chunk_length = 0;
  int64_t interval = 0;  // the size is kept at those multiples while answers grow; 0: it is not

  /// compression_ratio, budget, budget_over and their like of --policy-args; `defaults` where they
  /// are not given. Throws InputError.
  static Budget read(ArgReader& args, const Budget& defaults);
};

/// What goes of the entries of `heads`, of which `scores` has one for each: those of a layer, or of
/// all layers one after another. By the ratio, int(n * (1 - ratio)) a head stay, or as many on
/// average. `first_kept`: entries of that position and later stay whatever their scores.
cache::EvictionPlan select(const Budget& budget,
                           std::span<const cache::HeadEntries> heads,
                           Scores scores,
                           int64_t first_kept);

/// The `drop` lowest of each head go, of equal ones the older.
cache::EvictionPlan drop_lowest(const Scores& scores, const std::vector<int64_t>& drop);

}  // namespace dms::policy
