#include "policy/budget.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "dms/error.h"

namespace dms::policy {
namespace {

constexpr float kStays = std::numeric_limits<float>::infinity();
/// AdaKV's safeguard: this share of its even budget is each head's in any case (Feng et al. 2024).
constexpr double kSafeguard = 0.2;

/// An entry of a layer.
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
  std::vector<Place> places = places_of(scores, head);
  const int64_t rest = std::ssize(places) - count;
  if (count <= 0 || rest <= 0) return;
  lowest_first(places, scores, rest);
  for (auto at = places.begin() + rest; at != places.end(); ++at) scores[head][at->entry] = kStays;
}

cache::EvictionPlan drop_over_layer(Scores scores,
                                    const std::vector<int64_t>& drop,
                                    const std::vector<int64_t>& kept) {
  std::vector<Place> places;
  for (size_t head = 0; head < scores.size(); ++head) {
    protect_best(scores, head, static_cast<int64_t>(static_cast<double>(kept[head]) * kSafeguard));
    const std::vector<Place> own = places_of(scores, head);
    places.insert(places.end(), own.begin(), own.end());
  }
  const int64_t count = std::accumulate(drop.begin(), drop.end(), int64_t{0});
  lowest_first(places, scores, count);
  cache::EvictionPlan plan = keep_all(scores);
  for (auto at = places.begin(); at != places.begin() + count; ++at) {
    plan[at->head][at->entry] = scores[at->head][at->entry] == kStays ? 0 : 1;
  }
  return plan;
}

}  // namespace

Budget Budget::read(ArgReader& args) {
  Budget budget;
  if (args.has("budget")) {
    if (args.has("compression_ratio")) {
      throw InputError({.field = "policy_args",
                        .what = "budget and compression_ratio say the same",
                        .got = "both",
                        .expected = "one of them"});
    }
    budget.entries = args.integer("budget", 0, 1, kMaxWindow);
  } else {
    budget.compression_ratio = args.number("compression_ratio", 0.5, 0.0, 1.0);
  }
  budget.over =
      args.choice("budget_over", {"head", "layer"}) == 1 ? BudgetOver::layer : BudgetOver::head;
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

cache::EvictionPlan plan_prompt(const Budget& budget,
                                const cache::LayerEntries& layer,
                                Scores scores,
                                int64_t protected_tokens) {
  const int64_t prompt = layer.tokens - layer.prompt_begin;
  std::vector<int64_t> kept;
  std::vector<int64_t> drop;
  for (size_t head = 0; head < scores.size(); ++head) {
    const std::vector<int32_t>& positions = layer.heads[head].positions;
    int64_t ranked = 0;
    for (size_t i = 0; i < positions.size(); ++i) {
      const bool is_earlier = !budget.entries && positions[i] < layer.prompt_begin;
      ranked += is_earlier ? 0 : 1;
      if (is_earlier || positions[i] >= layer.tokens - std::min(protected_tokens, prompt)) {
        scores[head][i] = kStays;
      }
    }
    const auto by_ratio =
        static_cast<int64_t>(static_cast<double>(ranked) * (1.0 - budget.compression_ratio));
    const int64_t wanted =
        std::max(budget.entries.value_or(by_ratio), std::min(protected_tokens, prompt));
    kept.push_back(std::min(wanted, ranked));
    drop.push_back(ranked - kept.back());
  }
  return budget.over == BudgetOver::layer ? drop_over_layer(std::move(scores), drop, kept)
                                          : drop_lowest(scores, drop);
}

}  // namespace dms::policy
