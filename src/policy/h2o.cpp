// H2O (Zhang et al. 2023, "Heavy-Hitter Oracle"): a running budget, half of it for the newest
// tokens and half for those that all queries so far have attended most. As with tova, plans are due
// at the multiples of `interval` tokens; what an entry has been given is added up from interval to
// interval.

#include <algorithm>
#include <limits>
#include <map>

#include "dms/error.h"
#include "policy/budget.h"

namespace dms::policy {
namespace {

/// What each entry of one layer has been attended, by position.
class Attended final : public cache::PolicyState {
 public:
  using Sums = std::map<int32_t, float>;

  /// `most_entries`: of a head, when it is shown.
  Attended(int64_t kv_heads, int64_t most_entries)
      : kv_heads_(kv_heads), most_entries_(most_entries) {}

  std::unique_ptr<cache::PolicyState> fork() const override {
    return std::make_unique<Attended>(*this);
  }
  void restart() override { heads_.clear(); }

  void write(ByteWriter& out) const override {
    out.value(std::ssize(heads_));
    for (const Sums& sums : heads_) {
      const std::vector<std::pair<int32_t, float>> flat(sums.begin(), sums.end());
      std::vector<int32_t> positions;
      std::vector<float> values;
      for (const auto& [position, sum] : flat) {
        positions.push_back(position);
        values.push_back(sum);
      }
      out.list(std::span<const int32_t>(positions));
      out.list(std::span<const float>(values));
    }
  }

  void read(ByteReader& in) override {
    heads_.resize(static_cast<size_t>(in.count_of(2 * static_cast<int64_t>(sizeof(int64_t)))));
    for (Sums& sums : heads_) {
      const std::vector<int32_t> positions = in.list<int32_t>();
      const std::vector<float> values = in.list<float>();
      in.require(positions.size() == values.size(), "a sum for each entry");
      for (size_t i = 0; i < positions.size(); ++i) sums[positions[i]] = values[i];
    }
  }

  int64_t bytes() const override {
    int64_t entries = 0;
    for (const Sums& sums : heads_) entries += std::ssize(sums);
    return entries * kNodeBytes;
  }
  int64_t most_bytes(int64_t tokens) const override {
    return kv_heads_ * std::min(tokens, most_entries_) * kNodeBytes;
  }

  /// Adds what `queries` queries gave, and forgets entries that are gone.
  void add(const cache::LayerEntries& layer, int64_t queries) {
    heads_.resize(layer.heads.size());
    for (size_t head = 0; head < heads_.size(); ++head) {
      const cache::HeadEntries& entries = layer.heads[head];
      Sums sums;
      for (size_t i = 0; i < entries.positions.size(); ++i) {
        const int32_t position = entries.positions[i];
        sums[position] = of(head, position) + entries.attention[i] * static_cast<float>(queries);
      }
      heads_[head] = std::move(sums);
    }
  }

  float of(size_t head, int32_t position) const {
    const auto found = heads_[head].find(position);
    return found == heads_[head].end() ? 0.0f : found->second;
  }

 private:
  static constexpr int64_t kNodeBytes = 40;  // of the tree

  int64_t kv_heads_;
  int64_t most_entries_;
  std::vector<Sums> heads_;  // [kv_heads]
};

class H2o final : public cache::Policy {
 public:
  H2o(int64_t budget, int64_t interval, int64_t kv_heads)
      : budget_(budget), interval_(interval), kv_heads_(kv_heads) {}

  int64_t window() const override { return 0; }
  cache::PolicyNeeds needs() const override { return {.last_queries = interval_}; }
  int64_t interval() const override { return interval_; }
  std::unique_ptr<cache::PolicyState> new_state() const override {
    return std::make_unique<Attended>(kv_heads_, budget_ + interval_);
  }

  void observe(const cache::LayerEntries& layer, cache::PolicyState& state) const override {
    static_cast<Attended&>(state).add(layer, interval_);
  }

  cache::EvictionPlan plan(const cache::LayerEntries& layer,
                           const cache::PolicyState* state) const override {
    const auto& attended = static_cast<const Attended&>(*state);
    const auto newest = static_cast<size_t>(budget_ - budget_ / 2);
    Scores scores;
    std::vector<int64_t> drop;
    for (size_t head = 0; head < layer.heads.size(); ++head) {
      const std::vector<int32_t>& positions = layer.heads[head].positions;
      std::vector<float>& of_head = scores.emplace_back();
      for (size_t i = 0; i < positions.size(); ++i) {
        const bool is_new = i + newest >= positions.size();
        of_head.push_back(is_new ? std::numeric_limits<float>::infinity()
                                 : attended.of(head, positions[i]));
      }
      drop.push_back(std::max<int64_t>(std::ssize(positions) - budget_, 0));
    }
    return drop_lowest(scores, drop);
  }

 private:
  int64_t budget_;
  int64_t interval_;
  int64_t kv_heads_;
};

}  // namespace

PolicyPtr make_h2o(const PolicyRequest& request) {
  constexpr int64_t kDefaultBudget = 1024;
  constexpr int64_t kMaxInterval = 4096;  // so many queries of each layer are kept
  refuse_window("h2o", request);
  ArgReader args("h2o", request.args);
  const int64_t budget = args.integer("budget", kDefaultBudget, 1, kMaxWindow);
  const int64_t interval = args.integer("interval", kDefaultInterval, 1, kMaxInterval);
  args.finish();
  return std::make_shared<H2o>(budget, interval, request.kv_heads);
}

}  // namespace dms::policy
