// A block of low rank: the truncated SVD of the middle's keys (after RoPE) and that of its values.
// What the last plan left is a product already (truncation.h). The oldest tokens are dropped where
// a block would exceed its budget.

#include <algorithm>
#include <utility>
#include <vector>

#include "policy/adms/compressor.h"
#include "policy/adms/truncation.h"

namespace dms::policy {
namespace {

/// Tokens that stay, by rising position: of the block and of what leaves, the last ones each.
struct Sources {
  std::vector<int32_t> positions;
  std::vector<int64_t> rows;  // of each: of the block's those that stay, then of the new ones
  int64_t old_count = 0;
  int64_t new_count = 0;
  int64_t dropped = 0;

  int64_t count() const { return std::ssize(positions); }
};

Sources sources_of(const cache::LowRankBlock& block,
                   std::span<const int32_t> leaving,
                   int64_t most_tokens) {
  const auto all = std::ssize(block.positions) + std::ssize(leaving);
  Sources sources;
  sources.dropped = std::max<int64_t>(all - std::max<int64_t>(most_tokens, 0), 0);
  const auto most = static_cast<size_t>(all - sources.dropped);
  std::vector<uint8_t> is_new;
  is_new.reserve(most);
  sources.positions.reserve(most);
  sources.rows.reserve(most);
  auto old = block.positions.begin();
  auto fresh = leaving.begin();
  for (int64_t i = 0; i < all; ++i) {
    const bool from_new = old == block.positions.end() || (fresh != leaving.end() && *fresh < *old);
    const int32_t position = from_new ? *fresh++ : *old++;
    if (i < sources.dropped) continue;
    ++(from_new ? sources.new_count : sources.old_count);
    sources.positions.push_back(position);
    is_new.push_back(from_new ? 1 : 0);
  }
  int64_t next_old = 0;
  int64_t next_new = sources.old_count;
  for (const uint8_t from_new : is_new) {
    sources.rows.push_back(from_new != 0 ? next_new++ : next_old++);
  }
  return sources;
}

class LowRank final : public Compressor {
 public:
  LowRank(int64_t rank, int64_t most_tokens) : rank_(rank), most_tokens_(most_tokens) {}

  cache::Digest compress(CompressRequest request) const override {
    const cache::HeadContents& leaving = request.leaving;
    cache::LowRankBlock before = std::move(request.before.block);
    const int64_t d = leaving.head_dim;
    const int64_t rank = rank_of(request.budget, d);
    const int64_t most = most_tokens(request.budget, d);
    const Sources sources = sources_of(before, leaving.positions, most);
    cache::Digest digest;
    digest.dropped = request.before.dropped + sources.dropped;
    if (sources.positions.empty()) return digest;
    cache::LowRankBlock& block = digest.block;
    block.rank = std::min<int64_t>(rank, std::ssize(sources.positions));
    block.positions = sources.positions;
    // What they are read from is written over.
    block.key_rows = std::move(before.key_rows);
    block.key_basis = std::move(before.key_basis);
    block.value_rows = std::move(before.value_rows);
    block.value_basis = std::move(before.value_basis);
    const auto truncation = [&](Order order,
                                std::span<const float> added,
                                std::vector<float>& rows,
                                std::vector<float>& basis) -> Truncation {
      return {.old = {.rows = rows,
                      .basis = basis,
                      .order = order,
                      .tokens = before.tokens(),
                      .rank = before.rank},
              .old_count = sources.old_count,
              .added = added,
              .added_count = sources.new_count,
              .d = d,
              .rank = block.rank,
              .sources = sources.rows,
              .rows = rows,
              .basis = basis};
    };
    truncate(truncation(Order::by_columns, leaving.keys, block.key_rows, block.key_basis),
             truncation(Order::by_rows, leaving.values, block.value_rows, block.value_basis));
    return digest;
  }

  int64_t most_merged(int64_t) const override { return 0; }

  cache::BlockRoom most_block(int64_t budget, int64_t head_dim) const override {
    const int64_t tokens = most_tokens(budget, head_dim);
    if (tokens <= 0) return {};
    return {.numbers = 2 * rank_of(budget, head_dim) * (tokens + head_dim), .tokens = tokens};
  }

 private:
  /// A block pays for its basis first: a budget of few entries has tokens at a lower rank only.
  int64_t rank_of(int64_t budget, int64_t head_dim) const {
    return std::min({rank_, head_dim, std::max<int64_t>(budget / 2, 1)});
  }
  int64_t most_tokens(int64_t budget, int64_t head_dim) const {
    return std::min(most_tokens_, budget * head_dim / rank_of(budget, head_dim) - head_dim);
  }

  int64_t rank_;
  int64_t most_tokens_;
};

}  // namespace

CompressorPtr low_rank_compressor(int64_t rank, int64_t most_tokens) {
  return std::make_unique<LowRank>(rank, most_tokens);
}

}  // namespace dms::policy
