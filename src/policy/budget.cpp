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

/// How many of each head's entries stay, were each head to keep the same number.
struct Quota {
  std::vector<int64_t> kept;
  std::vector<int64_t> drop;

  int64_t total() const { return std::accumulate(drop.begin(), drop.end(), int64_t{0}); }
};

/// `newest`: the entries of each head that stay in any case.
Quota quota_of(const Budget& budget, const Scores& scores, const std::vector<int64_t>& newest) {
  Quota quota;
  for (size_t head = 0; head < scores.size(); ++head) {
    const auto count = std::ssize(scores[head]);
    const auto by_ratio =
        static_cast<int64_t>(static_cast<double>(count) * (1.0 - budget.compression_ratio));
    const int64_t wanted = std::max(budget.entries.value_or(by_ratio), newest[head]);
    quota.kept.push_back(std::min(wanted, count));
    quota.drop.push_back(count - quota.kept.back());
  }
  return quota;
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

/// Gives the entries of the last tokens an infinite score; returns how many they are in each head.
std::vector<int64_t> protect_newest(const cache::LayerEntries& layer,
                                    int64_t newest,
                                    Scores& scores) {
  const int64_t prompt = layer.tokens - layer.prompt_begin;
  const int64_t first = layer.tokens - (prompt > 0 ? std::min(newest, prompt) : newest);
  std::vector<int64_t> counts;
  for (size_t head = 0; head < scores.size(); ++head) {
    const std::vector<int32_t>& positions = layer.heads[head].positions;
    const auto at = std::ranges::lower_bound(positions, first) - positions.begin();
    std::fill(scores[head].begin() + at, scores[head].end(), kStays);
    counts.push_back(std::ssize(positions) - at);
  }
  return counts;
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

cache::EvictionPlan select(const Budget& budget,
                           const cache::LayerEntries& layer,
                           Scores scores,
                           int64_t newest) {
  const std::vector<int64_t> protected_entries = protect_newest(layer, newest, scores);
  const Quota quota = quota_of(budget, scores, protected_entries);
  if (budget.over == BudgetOver::head) return drop_lowest(scores, quota.drop);
  for (size_t head = 0; head < scores.size(); ++head) {
    protect_best(
        scores, head, static_cast<int64_t>(static_cast<double>(quota.kept[head]) * kSafeguard));
  }
  return drop_lowest_of_all(scores, quota.total());
}

}  // namespace dms::policy
