#include "eval/held_mean.h"

#include <algorithm>
#include <cmath>

namespace dms::eval {
namespace {

double middle(int64_t before, int64_t after) {
  return (static_cast<double>(before) + static_cast<double>(after)) / 2;
}

/// What an entry more takes. Statistics and windows, which `allocated_bytes` has too, do not grow.
double bytes_of_entry(const KvStats& kv) {
  const double dense = static_cast<double>(kv.dense_bytes) /
                       static_cast<double>(std::max<int64_t>(kv.dense_tokens, 1));
  return std::min(dense,
                  static_cast<double>(kv.allocated_bytes) / static_cast<double>(kv.held_tokens));
}

/// `after` as it was before the policy evicted at the end of the pass: no row of it saw that.
KvStats unranked(const KvStats& before, const KvStats& after) {
  const int64_t grown = before.held_tokens + after.dense_tokens - before.dense_tokens;
  if (after.held_tokens >= grown || before.held_tokens == 0) return after;
  const double more = static_cast<double>(grown - before.held_tokens) * bytes_of_entry(before);
  KvStats held = after;
  held.held_tokens = grown;
  held.allocated_bytes =
      std::max(after.allocated_bytes, before.allocated_bytes + static_cast<int64_t>(more));
  int64_t heads = 0;
  for (const auto& layer : before.held_per_head) heads += std::ssize(layer);
  const int64_t tokens = (after.dense_tokens - before.dense_tokens) / std::max<int64_t>(heads, 1);
  held.held_per_head = before.held_per_head;
  for (auto& layer : held.held_per_head) {
    for (int64_t& entries : layer) entries += tokens;
  }
  return held;
}

}  // namespace

void HeldMean::add(const KvStats& before, const KvStats& after, int64_t rows) {
  const KvStats end = holds_all_ ? unranked(before, after) : after;
  peak_bytes_ = std::max({peak_bytes_, before.allocated_bytes, end.allocated_bytes});
  const auto weight = static_cast<double>(rows);
  rows_ += weight;
  dense_tokens_ += weight * middle(before.dense_tokens, end.dense_tokens);
  held_tokens_ += weight * middle(before.held_tokens, end.held_tokens);
  dense_bytes_ += weight * middle(before.dense_bytes, end.dense_bytes);
  allocated_bytes_ += weight * middle(before.allocated_bytes, end.allocated_bytes);
  held_per_head_.resize(end.held_per_head.size());
  for (size_t layer = 0; layer < end.held_per_head.size(); ++layer) {
    const std::vector<int64_t>& heads = end.held_per_head[layer];
    held_per_head_[layer].resize(heads.size());
    for (size_t head = 0; head < heads.size(); ++head) {
      held_per_head_[layer][head] +=
          weight * middle(before.held_per_head[layer][head], heads[head]);
    }
  }
}

KvStats HeldMean::mean() const {
  const auto share = [this](double sum) {
    return static_cast<int64_t>(std::llround(sum / std::max(rows_, 1.0)));
  };
  KvStats kv;
  kv.dense_tokens = share(dense_tokens_);
  kv.held_tokens = share(held_tokens_);
  kv.dense_bytes = share(dense_bytes_);
  kv.allocated_bytes = share(allocated_bytes_);
  for (const std::vector<double>& layer : held_per_head_) {
    std::vector<int64_t>& heads = kv.held_per_head.emplace_back();
    for (const double held : layer) heads.push_back(share(held));
  }
  return kv;
}

}  // namespace dms::eval
