#include "kernels/low_rank.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "base/check.h"
#include "kernels/kernel_table.h"

namespace dms::kernels {
namespace {

void check_call(const LowRankArgs& args, int64_t stride, const AttentionPartial& partial) {
  const int64_t rows = args.positions * args.group;
  ensure(args.rank > 0 && args.tokens > 0 && args.head_dim > 0, "a block of nothing");
  ensure(std::ssize(args.q) >= (args.positions - 1) * stride + args.group * args.head_dim,
         "fewer queries than positions");
  ensure(std::ssize(args.key_rows) == args.rank * args.tokens &&
             std::ssize(args.value_rows) == args.rank * args.tokens &&
             std::ssize(args.key_basis) == args.rank * args.head_dim &&
             std::ssize(args.value_basis) == args.rank * args.head_dim,
         "a factor of another size");
  ensure(args.biases.empty() || std::ssize(args.biases) == args.group * args.tokens,
         "a bias for each token");
  ensure(args.first_seen.empty() || std::ssize(args.first_seen) == args.positions,
         "a first token for each query");
  ensure(std::min(std::ssize(partial.max), std::ssize(partial.sum)) >= rows, "no room for sums");
  ensure(std::ssize(partial.output) >= rows * args.head_dim, "no room for the output");
}

/// What one row needs on the way.
struct Scratch {
  std::vector<float> projected;  // [rank]
  std::vector<float> scores;     // [tokens]
  std::vector<float> mixed;      // [rank]
};

void score(const LowRankArgs& args,
           std::span<const float> query,
           std::span<const float> biases,
           Scratch& scratch) {
  scratch.projected.assign(static_cast<size_t>(args.rank), 0.0f);
  const RowTable& table = row_table();
  table.add_rows(
      query.data(), args.head_dim, args.key_basis.data(), args.rank, scratch.projected.data());
  if (biases.empty()) {
    scratch.scores.assign(static_cast<size_t>(args.tokens), 0.0f);
  } else {
    scratch.scores.assign(biases.begin(), biases.end());
  }
  table.add_rows(scratch.projected.data(),
                 args.rank,
                 args.key_rows.data(),
                 args.tokens,
                 scratch.scores.data());
  for (float& score : scratch.scores) score *= args.scale;
  if (args.soft_cap > 0.0f) table.soft_cap(args.soft_cap, scratch.scores.data(), args.tokens);
}

}  // namespace

void attend_low_rank(const LowRankArgs& args, AttentionPartial partial) {
  const int64_t stride =
      args.q_position_stride == 0 ? args.group * args.head_dim : args.q_position_stride;
  check_call(args, stride, partial);
  thread_local Scratch scratch;
  const RowTable& table = row_table();
  const auto head_dim = static_cast<size_t>(args.head_dim);
  const auto tokens = static_cast<size_t>(args.tokens);
  std::ranges::fill(
      partial.output.first(static_cast<size_t>(args.positions * args.group) * head_dim), 0.0f);
  for (int64_t row = 0; row < args.positions * args.group; ++row) {
    const auto position = static_cast<size_t>(row / args.group);
    const auto member = static_cast<size_t>(row % args.group);
    const auto at = position * static_cast<size_t>(stride) + member * head_dim;
    const size_t first =
        args.first_seen.empty() ? 0 : static_cast<size_t>(args.first_seen[position]);
    const auto r = static_cast<size_t>(row);
    partial.max[r] = -std::numeric_limits<float>::infinity();
    partial.sum[r] = 0.0f;
    if (first >= tokens) continue;
    score(args,
          args.q.subspan(at, head_dim),
          args.biases.empty() ? args.biases : args.biases.subspan(member * tokens, tokens),
          scratch);
    const std::span<float> scores = std::span(scratch.scores).subspan(first);
    const float max = *std::ranges::max_element(scores);
    partial.max[r] = max;
    partial.sum[r] = table.exponentials(max, scores.data(), std::ssize(scores));
    scratch.mixed.assign(static_cast<size_t>(args.rank), 0.0f);
    table.add_rows(scores.data(),
                   std::ssize(scores),
                   args.value_rows.data() + first * static_cast<size_t>(args.rank),
                   args.rank,
                   scratch.mixed.data());
    table.add_rows(scratch.mixed.data(),
                   args.rank,
                   args.value_basis.data(),
                   args.head_dim,
                   partial.output.subspan(r * head_dim, head_dim).data());
  }
}

}  // namespace dms::kernels
