#include "policy/budget.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

#include "dms/error.h"
#include "policy/idle.h"

namespace dms::policy {
namespace {

// CriticalKV (Feng et al. 2025): the share of a head's budget that the score alone fills, and what
// is added to a score before it is weighed.
constexpr double kFirstStage = 0.5;
constexpr float kEpsilon = 1e-4f;

/// An entry of one of the heads.
struct Place {
  size_t head = 0;
  size_t entry = 0;
};

/// The `count` lowest of `places` first; what has no score for a number is the lowest.
void lowest_first(std::vector<Place>& places, const Scores& scores, int64_t count) {
  const auto score_of = [&](const Place& place) {
    const float score = scores[place.head][place.entry];
    return std::isnan(score) ? -kStays : score;
  };
  const auto is_lower = [&](const Place& a, const Place& b) {
    const float x = score_of(a);
    const float y = score_of(b);
    if (x != y) return x < y;
    return a.entry != b.entry ? a.entry < b.entry : a.head < b.head;
  };
  std::ranges::nth_element(places, places.begin() + count, is_lower);
}

std::vector<Place> places_of(const Scores& scores, size_t head) {
  std::vector<Place> places;
  for (size_t entry = 0; entry < scores[head].size(); ++entry) places.push_back({head, entry});
  return places;
}

cache::EvictionPlan keep_all(const Scores& scores) {
  cache::EvictionPlan plan;
  for (const std::vector<float>& head : scores) plan.emplace_back(head.size(), 0);
  return plan;
}

/// Gives the best `count` of a head an infinite score.
void protect_best(Scores& scores, size_t head, int64_t count) {
  if (count <= 0) return;
  std::vector<Place> places = places_of(scores, head);
  const int64_t rest = std::max<int64_t>(std::ssize(places) - count, 0);
  lowest_first(places, scores, rest);
  for (auto at = places.begin() + rest; at != places.end(); ++at) scores[head][at->entry] = kStays;
}

/// How many of each head's entries may stay, were each head to keep the same number: of a size also
/// more than it has, which others may take.
std::vector<int64_t> even_shares(const Budget& budget,
                                 const Scores& scores,
                                 const std::vector<int64_t>& newest) {
  std::vector<int64_t> kept;
  for (size_t head = 0; head < scores.size(); ++head) {
    const auto count = std::ssize(scores[head]);
    const auto by_ratio =
        static_cast<int64_t>(static_cast<double>(count) * (1.0 - budget.compression_ratio));
    const int64_t least = std::max<int64_t>(newest[head], budget.chunk_length > 0 ? 1 : 0);
    kept.push_back(std::max(budget.entries.value_or(by_ratio), least));
  }
  return kept;
}

/// How many go of all heads together. Over the model a ratio is that of all entries, rounded once.
int64_t total_drop(const Budget& budget, const Scores& scores, const std::vector<int64_t>& kept) {
  int64_t count = 0;
  for (const std::vector<float>& head : scores) count += std::ssize(head);
  if (budget.over == BudgetOver::model && !budget.entries) {
    return static_cast<int64_t>(static_cast<double>(count) * budget.compression_ratio);
  }
  return std::max<int64_t>(count - std::accumulate(kept.begin(), kept.end(), int64_t{0}), 0);
}

/// The lowest of all heads together.
cache::EvictionPlan drop_lowest_of_all(const Scores& scores, int64_t count) {
  std::vector<Place> places;
  for (size_t head = 0; head < scores.size(); ++head) {
    const std::vector<Place> own = places_of(scores, head);
    places.insert(places.end(), own.begin(), own.end());
  }
  lowest_first(places, scores, count);
  cache::EvictionPlan plan = keep_all(scores);
  for (auto at = places.begin(); at != places.begin() + count; ++at) {
    plan[at->head][at->entry] = scores[at->head][at->entry] == kStays ? 0 : 1;
  }
  return plan;
}

/// Gives the entries from `first_kept` on an infinite score; returns how many they are in each
/// head.
std::vector<int64_t> protect_newest(std::span<const cache::HeadEntries> heads,
                                    int64_t first_kept,
                                    Scores& scores) {
  std::vector<int64_t> counts;
  for (size_t head = 0; head < heads.size(); ++head) {
    const std::vector<int32_t>& positions = heads[head].positions;
    const auto at = std::ranges::lower_bound(positions, first_kept) - positions.begin();
    std::fill(scores[head].begin() + at, scores[head].end(), kStays);
    counts.push_back(std::ssize(positions) - at);
  }
  return counts;
}

int64_t share_of(int64_t count, double share) {
  return static_cast<int64_t>(static_cast<double>(count) * share);
}

/// What stays of each head by its scores and the budget.
cache::EvictionPlan cut(const Budget& budget, Scores scores, const std::vector<int64_t>& kept) {
  if (budget.over == BudgetOver::head) {
    std::vector<int64_t> drop;
    for (size_t head = 0; head < scores.size(); ++head) {
      drop.push_back(std::ssize(scores[head]) - kept[head]);
    }
    return drop_lowest(scores, drop);
  }
  const int64_t drop = total_drop(budget, scores, kept);
  for (size_t head = 0; budget.over == BudgetOver::layer && head < scores.size(); ++head) {
    protect_best(scores, head, share_of(kept[head], budget.alpha_safeguard));
  }
  return drop_lowest_of_all(scores, drop);
}

/// As many of each head as `first` keeps: half of them by their scores, the others by their scores
/// times what their values become.
cache::EvictionPlan cut_again(const Budget& budget,
                              std::span<const cache::HeadEntries> heads,
                              Scores scores,
                              const std::vector<int64_t>& kept,
                              const cache::EvictionPlan& first) {
  std::vector<int64_t> drop;
  for (size_t head = 0; head < scores.size(); ++head) {
    drop.push_back(std::accumulate(first[head].begin(), first[head].end(), int64_t{0}));
    int64_t by_score = share_of(std::ssize(scores[head]) - drop.back(), kFirstStage);
    if (budget.over == BudgetOver::layer) {
      by_score = std::max(by_score, share_of(kept[head], budget.alpha_safeguard));
    }
    protect_best(scores, head, by_score);
    for (size_t i = 0; i < scores[head].size(); ++i) {
      if (scores[head][i] == kStays) continue;
      const float weighed = (scores[head][i] + kEpsilon) * heads[head].output_norms[i];
      scores[head][i] = std::min(weighed, kBest);
    }
  }
  return drop_lowest(scores, drop);
}

/// Either a size or a ratio.
void read_amount(ArgReader& args, Budget& budget) {
  const bool has_ratio = args.has("compression_ratio");
  if (has_ratio && args.has("budget")) {
    throw InputError({.field = "policy_args",
                      .what = "budget and compression_ratio say the same",
                      .got = "both",
                      .expected = "one of them"});
  }
  if (has_ratio || (!budget.entries && !args.has("budget"))) {
    budget.entries.reset();
    budget.compression_ratio = args.share("compression_ratio", budget.compression_ratio);
    refuse_idle(args, {"interval"}, "only with budget");
    return;
  }
  budget.entries = args.integer("budget", budget.entries.value_or(0), 1, kMaxWindow);
  if (budget.chunk_length > 0) {
    refuse_idle(args, {"interval"}, "chunk_length alone, at whose multiples cuts come");
    return;
  }
  budget.interval = args.integer("interval", kDefaultInterval, 1, kMaxWindow);
}

}  // namespace

Budget Budget::read(ArgReader& args, const Budget& defaults) {
  Budget budget = defaults;
  if (budget.chunk_length > 0 || args.has("chunk_length")) {
    budget.chunk_length = args.integer("chunk_length", budget.chunk_length, 1, kMaxWindow);
  }
  read_amount(args, budget);
  constexpr std::array kOver{BudgetOver::head, BudgetOver::layer, BudgetOver::model};
  if (args.has("budget_over")) {
    budget.over = kOver.at(args.choice("budget_over", {"head", "layer", "model"}));
  }
  if (budget.over == BudgetOver::layer) {
    budget.alpha_safeguard = args.number("alpha_safeguard", budget.alpha_safeguard, 0.0, 1.0);
  } else {
    refuse_idle(args, {"alpha_safeguard"}, "only with budget_over=layer");
  }
  budget.critical = args.boolean("critical", budget.critical);
  return budget;
}

cache::EvictionPlan drop_lowest(const Scores& scores, const std::vector<int64_t>& drop) {
  cache::EvictionPlan plan = keep_all(scores);
  for (size_t head = 0; head < scores.size(); ++head) {
    if (drop[head] <= 0) continue;
    std::vector<Place> places = places_of(scores, head);
    lowest_first(places, scores, drop[head]);
    for (auto at = places.begin(); at != places.begin() + drop[head]; ++at) {
      plan[head][at->entry] = scores[head][at->entry] == kStays ? 0 : 1;
    }
  }
  return plan;
}

cache::EvictionPlan select(const Budget& budget,
                           std::span<const cache::HeadEntries> heads,
                           Scores scores,
                           int64_t first_kept) {
  const std::vector<int64_t> newest = protect_newest(heads, first_kept, scores);
  const std::vector<int64_t> kept = even_shares(budget, scores, newest);
  cache::EvictionPlan plan = cut(budget, scores, kept);
  return budget.critical ? cut_again(budget, heads, std::move(scores), kept, plan) : plan;
}

}  // namespace dms::policy
