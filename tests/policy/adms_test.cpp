// ADMS on one layer of random tokens without a cache: nothing is lost uncounted, memory stays
// within the budget, and what is approximated gets better with rank and budget.

#include <algorithm>
#include <cmath>
#include <memory>
#include <new>
#include <numeric>
#include <random>
#include <set>

#include <Eigen/Dense>
#include <gtest/gtest.h>

#include "dms/compressor.h"
#include "dms/error.h"
#include "policy/adms/compressor.h"
#include "policy/adms/importance.h"
#include "policy/policy.h"
#include "support/seed.h"

namespace dms::policy {
namespace {

using testing_support::seed;
using Args = std::map<std::string, std::string>;
using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr int64_t kHeadDim = 16;
constexpr int64_t kHeads = 2;
constexpr int64_t kSinks = 4;
constexpr int64_t kRecent = 30;

Rotations rotations() {
  auto rotation = std::make_shared<Rotation>();
  for (int i = 0; i < kHeadDim / 2; ++i) {
    rotation->frequencies.push_back(std::pow(100.0f, -2.0f * static_cast<float>(i) / kHeadDim));
  }
  return {[rotation](int64_t, int64_t) { return rotation; }, kHeadDim / 2};
}

Merging merging(Anchor anchor, const Rotations& by = rotations()) {
  return {std::make_shared<const TurnTables>(by), anchor};
}

PolicyRequest request(Args args) {
  args.insert({{"start_size", "4"}, {"enable_dynamic_sink", "false"}, {"recent_size", "30"}});
  return {.layers = 1,
          .kv_heads = kHeads,
          .args = std::move(args),
          .window = std::nullopt,
          .decisions_file = {},
          .trained = std::nullopt,
          .q_heads = kHeads,
          .head_dim = kHeadDim,
          .rotations = rotations()};
}

/// What some positions hold.
struct Slice {
  std::vector<int32_t> positions;
  std::vector<float> keys;
  std::vector<float> values;

  cache::HeadContents contents(int64_t head) const {
    return {
        .head = head, .head_dim = kHeadDim, .positions = positions, .keys = keys, .values = values};
  }
};

/// A layer that plans as the cache does.
class Layer {
 public:
  Layer(Args args, int64_t tokens) : policy_(make_policy("adms", request(std::move(args)))) {
    std::mt19937_64 random(seed());
    std::normal_distribution<float> normal;
    for (Head& head : heads_) {
      for (int64_t i = 0; i < tokens * kHeadDim; ++i) {
        head.keys.push_back(normal(random));
        head.values.push_back(normal(random));
      }
    }
  }

  const cache::Policy& policy() const { return *policy_; }

  void plan(int64_t tokens) {
    cache::LayerEntries layer{.tokens = tokens, .prompt_begin = tokens, .heads = {}};
    std::vector<Slice> ranked;
    for (int64_t h = 0; h < kHeads; ++h) {
      Head& head = heads_.at(static_cast<size_t>(h));
      for (; head.next < policy_->ranked_end(tokens); ++head.next) head.exact.insert(head.next);
      ranked.push_back(slice(head, {head.exact.begin(), head.exact.end()}));
      const cache::HeadContents contents = ranked.back().contents(h);
      layer.heads.push_back({.positions = ranked.back().positions,
                             .key_norms = {},
                             .attention = {},
                             .measured = policy_->measure(contents, nullptr),
                             .output_norms = {},
                             .digested = entries(static_cast<size_t>(h)) - std::ssize(head.exact)});
    }
    const cache::EvictionPlan plan = policy_->plan(layer, nullptr);
    for (int64_t h = 0; h < kHeads; ++h) {
      const auto at = static_cast<size_t>(h);
      Head& head = heads_.at(at);
      std::vector<int32_t> leaving;
      for (size_t i = 0; i < plan[at].size(); ++i) {
        if (plan[at][i] != 0) leaving.push_back(ranked[at].positions[i]);
      }
      for (const int32_t position : leaving) head.exact.erase(position);
      const Slice gone = slice(head, leaving);
      const Slice rest = slice(head, {head.exact.begin(), head.exact.end()});
      head.digest = policy_->digest({.layer = layer,
                                     .leaving = gone.contents(h),
                                     .staying = rest.contents(h),
                                     .before = head.digest});
    }
  }

  int64_t exact(size_t head) const { return std::ssize(heads_.at(head).exact); }
  const cache::Digest& digest(size_t head) const { return heads_.at(head).digest; }
  int64_t entries(size_t head) const {
    const cache::LowRankBlock& block = digest(head).block;
    const int64_t of_block =
        block.tokens() == 0 ? 0 : cache::equal_entries(block.rank, block.tokens(), kHeadDim);
    return exact(head) + digest(head).merged.count() + of_block;
  }
  /// Tokens that something is known of, and those of which nothing is.
  int64_t counted(size_t head) const {
    const std::vector<int32_t>& counts = digest(head).merged.counts;
    return exact(head) + std::accumulate(counts.begin(), counts.end(), int64_t{0}) +
           digest(head).block.tokens() + digest(head).dropped;
  }

 private:
  struct Head {
    std::vector<float> keys;
    std::vector<float> values;
    std::set<int32_t> exact{};
    int32_t next = kSinks;
    cache::Digest digest{};
  };

  static Slice slice(const Head& head, const std::vector<int32_t>& positions) {
    Slice slice{.positions = positions, .keys = {}, .values = {}};
    for (const int32_t position : positions) {
      const auto begin = position * kHeadDim;
      slice.keys.insert(
          slice.keys.end(), head.keys.begin() + begin, head.keys.begin() + begin + kHeadDim);
      slice.values.insert(
          slice.values.end(), head.values.begin() + begin, head.values.begin() + begin + kHeadDim);
    }
    return slice;
  }

  PolicyPtr policy_;
  std::array<Head, kHeads> heads_;
};

/// The last entries within the budget.
MiddleEntries last_entries(const MiddleEntries& entries, int64_t head_dim, int64_t budget) {
  const int64_t count = std::min<int64_t>(std::ssize(entries.positions), budget);
  const auto tail = [](const auto& list, int64_t n) {
    return std::remove_cvref_t<decltype(list)>(list.end() - n, list.end());
  };
  return {.positions = tail(entries.positions, count),
          .counts = tail(entries.counts, count),
          .keys = tail(entries.keys, count * head_dim),
          .values = tail(entries.values, count * head_dim)};
}

TEST(Adms, CountsEveryCandidateAndStaysWithinItsBudget) {
  constexpr int64_t kTokens = 700;
  const std::vector<Args> cases{{{"compressor_type", "low_rank"}, {"rank", "3"}},
                                {{"compressor_type", "low_rank"}, {"svd_max_tokens", "11"}},
                                {{"compressor_type", "vq"}, {"num_clusters", "6"}},
                                {{"compressor_type", "vq"}, {"use_adaptive_budget", "true"}},
                                {{"compressor_type", "summary"}, {"anchor_mode", "grid"}},
                                {{"compressor_type", "summary"}, {"importance_ratio", "1"}},
                                {{"compressor_type", "low_rank"}, {"importance_ratio", "1"}},
                                {{"compressor_type", "custom"}, {"compressor", "last"}}};
  register_compressor("last", last_entries);
  for (const Args& arguments : cases) {
    Args args = arguments;
    args["compressed_budget"] = "20";
    Layer layer(args, kTokens);
    // Whole pieces of a prompt, then the steps of an answer.
    for (int64_t tokens = 256; tokens <= kTokens; tokens += tokens < 512 ? 256 : 8) {
      layer.plan(tokens);
      for (size_t head = 0; head < kHeads; ++head) {
        EXPECT_EQ(layer.counted(head), tokens - kRecent - kSinks) << tokens;
      }
      EXPECT_LE(layer.entries(0) + layer.entries(1), 2 * 20) << tokens;
      EXPECT_LE(layer.digest(0).merged.count(), layer.policy().most_merged());
    }
  }
}

TEST(Adms, KeepsAllWhileTheBudgetHasRoom) {
  Layer layer({{"compressed_budget", "100"}}, 200);
  layer.plan(100);
  layer.plan(134);
  EXPECT_EQ(layer.exact(0), 100);
  EXPECT_EQ(layer.digest(0).block.tokens(), 0);
  layer.plan(135);
  EXPECT_EQ(layer.exact(0), 25);
}

TEST(Adms, HeadsThatShareABudgetHoldAllOfIt) {
  constexpr int64_t kTokens = 500;
  for (const char* metric : {"value_norm", "key_norm"}) {
    Layer layer({{"compressor_type", "vq"},
                 {"num_clusters", "200"},
                 {"importance_metric", metric},
                 {"use_adaptive_budget", "true"},
                 {"compressed_budget", "100"}},
                kTokens);
    for (int64_t tokens = 100; tokens <= kTokens; tokens += 8) {
      layer.plan(tokens);
      const int64_t middle = tokens - kRecent - kSinks;
      EXPECT_EQ(layer.entries(0) + layer.entries(1), 2 * std::min<int64_t>(middle, 100))
          << metric << " after " << tokens;
    }
  }
}

TEST(Adms, SinksGrowWithTheLengthInMind) {
  const auto first_ranked = [](Args args) {
    PolicyRequest bare = request({});
    bare.args = std::move(args);
    return make_policy("adms", bare)->first_ranked(0);
  };
  EXPECT_EQ(first_ranked({{"max_seq_length", "2048"}}), 20);
  EXPECT_EQ(first_ranked({{"max_seq_length", "16384"}}), 163);
  EXPECT_EQ(first_ranked({{"max_seq_length", "300"}}), 4);
  EXPECT_EQ(first_ranked({{"enable_dynamic_sink", "false"}, {"start_size", "7"}}), 7);
}

TEST(Adms, RefusesWhatItCannotDo) {
  for (const Args& args :
       std::vector<Args>{{{"compressed_budget", "0"}},
                         {{"importance_ratio", "1.5"}},
                         {{"compressor_type", "lowrank"}},
                         {{"anchor_mode", "middle"}},
                         {{"importance_metric", "norm"}},
                         {{"coverage_segments", "0"}},
                         {{"rank", "0"}},
                         {{"use_adaptive_budget", "true"}, {"enable_pos_shift", "true"}},
                         {{"recent", "5"}}}) {
    EXPECT_THROW(make_policy("adms", request(args)), InputError) << args.begin()->first;
  }
  PolicyRequest with_window = request({});
  with_window.window = 10;
  EXPECT_THROW(make_policy("adms", with_window), InputError);
  PolicyRequest unturned = request({{"enable_pos_shift", "true"}});
  unturned.rotations = {};
  EXPECT_THROW(make_policy("adms", unturned), InputError);
}

Slice random_slice(int64_t tokens, uint64_t offset = 0) {
  std::mt19937_64 random(seed() + offset);
  std::normal_distribution<float> normal;
  Slice slice;
  for (int64_t i = 0; i < tokens; ++i) {
    slice.positions.push_back(static_cast<int32_t>(kSinks + i));
    for (int64_t c = 0; c < kHeadDim; ++c) {
      slice.keys.push_back(normal(random) / static_cast<float>(1 + c));
      slice.values.push_back(normal(random));
    }
  }
  return slice;
}

Eigen::Map<const Rows> matrix(std::span<const float> values, int64_t rows) {
  return {values.data(), rows, std::ssize(values) / rows};
}

/// A block's keys written out.
Rows keys_of(const cache::LowRankBlock& block) {
  return matrix(block.key_rows, block.rank).transpose() *
         matrix(block.key_basis, kHeadDim).transpose();
}

cache::Digest compress(const Compressor& compressor,
                       const Slice& slice,
                       int64_t budget,
                       cache::Digest before = {}) {
  const cache::HeadContents contents = slice.contents(0);
  return compressor.compress({.leaving = contents,
                              .before = std::move(before),
                              .budget = budget,
                              .middle = {.begin = kSinks, .end = 500}});
}

/// Five tokens at a time.
cache::Digest compress_in_pieces(const Compressor& compressor, const Slice& all) {
  constexpr int64_t kPiece = 5;
  const auto part = [](const auto& list, int64_t begin, int64_t count) {
    return std::remove_cvref_t<decltype(list)>(list.begin() + begin, list.begin() + begin + count);
  };
  cache::Digest digest;
  for (int64_t begin = 0; begin < std::ssize(all.positions); begin += kPiece) {
    const Slice piece{.positions = part(all.positions, begin, kPiece),
                      .keys = part(all.keys, begin * kHeadDim, kPiece * kHeadDim),
                      .values = part(all.values, begin * kHeadDim, kPiece * kHeadDim)};
    digest = compress(compressor, piece, 1000, std::move(digest));
  }
  return digest;
}

TEST(LowRank, LosesNothingOfKeysThatHaveItsRankAndDropsTheOldest) {
  Slice all = random_slice(60);
  const Rows basis = matrix(random_slice(3, 1).keys, 3);
  const Rows keys = matrix(all.keys, 60).leftCols(3) * basis;
  std::copy(keys.data(), keys.data() + keys.size(), all.keys.begin());
  const cache::Digest digest = compress_in_pieces(*low_rank_compressor(3, 17), all);
  EXPECT_EQ(digest.dropped, 60 - 17);
  EXPECT_LT((keys_of(digest.block) - keys.bottomRows(17)).norm(), 1e-4f);
}

TEST(LowRank, IsTheTruncatedSvd) {
  const Slice all = random_slice(60);
  const Rows keys = matrix(all.keys, 60);
  const Eigen::JacobiSVD<Rows> svd(keys);
  double last = 1e30;
  for (const int64_t rank : {1, 3, 8, 16}) {
    const CompressorPtr compressor = low_rank_compressor(rank, 512);
    const cache::Digest digest = compress(*compressor, all, 1000);
    const double error = (keys_of(digest.block) - keys).norm();
    const double best = svd.singularValues().tail(kHeadDim - rank).norm();
    EXPECT_NEAR(error, best, 1e-4) << "rank " << rank;
    EXPECT_LT(error, last) << "rank " << rank;
    last = error;
    // The same in pieces: each plan truncates what the last one left.
    const cache::Digest pieces = compress_in_pieces(*compressor, all);
    EXPECT_EQ(pieces.block.positions, digest.block.positions);
    EXPECT_LE((keys_of(pieces.block) - keys).norm(), 1.5 * best + 1e-4) << "rank " << rank;
  }
}

TEST(LowRank, DropsTheOldestBeyondItsBudget) {
  const CompressorPtr compressor = low_rank_compressor(4, 512);
  // 4 (n + 16) <= 10 * 16 leaves 24 tokens.
  const cache::Digest digest = compress(*compressor, random_slice(60), 10);
  EXPECT_EQ(digest.block.tokens(), 24);
  EXPECT_EQ(digest.block.positions.front(), kSinks + 60 - 24);
  EXPECT_EQ(digest.dropped, 60 - 24);
  EXPECT_EQ(cache::equal_entries(digest.block.rank, 24, kHeadDim), 10);
  EXPECT_EQ(compress(*low_rank_compressor(4, 7), random_slice(60), 1000).block.tokens(), 7);
  EXPECT_EQ(compress(*compressor, random_slice(60), 0).dropped, 60);
}

TEST(LowRank, HoldsTokensOfNoLength) {
  Slice zeros = random_slice(6);
  std::ranges::fill(zeros.keys, 0.0f);
  const cache::Digest digest = compress(*low_rank_compressor(3, 512), zeros, 100);
  EXPECT_EQ(digest.block.tokens(), 6);
  EXPECT_EQ(keys_of(digest.block).norm(), 0.0f);
}

TEST(Vq, MergesWhatIsTheSameButForItsPosition) {
  const TurnTable turns(*rotations().at(0, 0));
  const Slice base = random_slice(3);
  Slice slice;
  for (int32_t i = 0; i < 30; ++i) {
    slice.positions.push_back(10 + 7 * i);
    const auto from = static_cast<int64_t>(i % 3) * kHeadDim;
    std::vector<float> key(base.keys.begin() + from, base.keys.begin() + from + kHeadDim);
    turns.turn(key, slice.positions.back());
    slice.keys.insert(slice.keys.end(), key.begin(), key.end());
    slice.values.insert(
        slice.values.end(), base.values.begin() + from, base.values.begin() + from + kHeadDim);
  }
  const CompressorPtr compressor = vq_compressor(merging(Anchor::mean), 3);
  const cache::Digest digest = compress(*compressor, slice, 30);
  ASSERT_EQ(digest.merged.counts, (std::vector<int32_t>{10, 10, 10}));
  for (size_t i = 0; i < 3; ++i) {
    std::vector<float> key(digest.merged.keys.begin() + static_cast<int64_t>(i) * kHeadDim,
                           digest.merged.keys.begin() + static_cast<int64_t>(i + 1) * kHeadDim);
    turns.turn(key, -digest.merged.positions[i]);
    for (size_t c = 0; c < kHeadDim; ++c) {
      EXPECT_NEAR(key[c], base.keys[i * kHeadDim + c], 1e-5f);
      EXPECT_NEAR(digest.merged.values[i * kHeadDim + c], base.values[i * kHeadDim + c], 1e-5f);
    }
  }
}

TEST(Vq, ErrorFallsWithTheBudget) {
  const Slice slice = random_slice(80);
  double last = 1e30;
  for (const int64_t budget : {2, 10, 40, 80}) {
    const CompressorPtr compressor = vq_compressor(merging(Anchor::mean, {}), 1000);
    const cache::MergedEntries merged = compress(*compressor, slice, budget).merged;
    EXPECT_LE(merged.count(), budget);
    const Rows centroids = matrix(merged.values, merged.count());
    const Rows values = matrix(slice.values, 80);
    double error = 0;
    for (Eigen::Index i = 0; i < 80; ++i) {
      error += (centroids.rowwise() - values.row(i)).rowwise().squaredNorm().minCoeff();
    }
    EXPECT_LT(error, last) << budget;
    last = error;
  }
  EXPECT_NEAR(last, 0.0, 1e-6);
}

TEST(Summary, CutsTheMiddleIntoEqualStretches) {
  Slice slice;
  for (const int32_t position : {4, 5, 100, 300, 301, 499}) {
    slice.positions.push_back(position);
    slice.keys.resize(slice.keys.size() + kHeadDim, 1.0f);
    slice.values.resize(slice.values.size() + kHeadDim, static_cast<float>(position));
  }
  const auto merged = [&](Anchor anchor) {
    return compress(*summary_compressor(merging(anchor, {})), slice, 6).merged;
  };
  EXPECT_EQ(merged(Anchor::mean).counts, (std::vector<int32_t>{2, 1, 2, 1}));
  EXPECT_EQ(merged(Anchor::mean).positions, (std::vector<int32_t>{5, 100, 301, 499}));
  EXPECT_EQ(merged(Anchor::mean).values[0], 4.5f);
  EXPECT_EQ(merged(Anchor::grid).positions, (std::vector<int32_t>{66, 190, 314, 438}));
  EXPECT_EQ(merged(Anchor::hybrid).positions, (std::vector<int32_t>{35, 145, 307, 468}));
}

TEST(Custom, IsGivenKeysAsTheyAreBeforeTheyAreTurned) {
  register_compressor("last", last_entries);
  const Slice slice = random_slice(20);
  const CompressorPtr compressor = custom_compressor(merging(Anchor::mean), "last");
  const cache::Digest digest = compress(*compressor, slice, 6);
  EXPECT_EQ(digest.dropped, 14);
  ASSERT_EQ(digest.merged.positions,
            std::vector<int32_t>(slice.positions.end() - 6, slice.positions.end()));
  for (size_t i = 0; i < digest.merged.keys.size(); ++i) {
    EXPECT_NEAR(digest.merged.keys[i], slice.keys[i + 14 * kHeadDim], 1e-5f) << "turned again";
  }
}

TEST(Custom, IsRefusedWithoutANameAndEndsARequestByAWrongResult) {
  EXPECT_THROW(make_policy("adms", request({{"compressor_type", "custom"}})), InputError);
  register_compressor("greedy",
                      [](const MiddleEntries& entries, int64_t, int64_t) { return entries; });
  register_compressor("more", [](const MiddleEntries& entries, int64_t head_dim, int64_t budget) {
    MiddleEntries made = last_entries(entries, head_dim, budget);
    made.counts.front() += 100;
    return made;
  });
  register_compressor("short", [](const MiddleEntries& entries, int64_t head_dim, int64_t budget) {
    MiddleEntries made = last_entries(entries, head_dim, budget);
    made.values.pop_back();
    return made;
  });
  for (const std::string name : {"greedy", "more", "short"}) {
    const CompressorPtr compressor = custom_compressor(merging(Anchor::mean), name);
    EXPECT_THROW(compress(*compressor, random_slice(20), 6), RunError) << name;
  }
}

TEST(Custom, NamesItselfWhereItThrows) {
  register_compressor("boom", [](const MiddleEntries&, int64_t, int64_t) -> MiddleEntries {
    throw InputError({.what = "no room"});
  });
  register_compressor("hungry", [](const MiddleEntries&, int64_t, int64_t) -> MiddleEntries {
    throw std::bad_alloc();
  });
  const CompressorPtr boom = custom_compressor(merging(Anchor::mean), "boom");
  try {
    compress(*boom, random_slice(20), 6);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const RunError& error) {
    EXPECT_STREQ(error.what(), "compressor boom: failed: no room");
  }
  const CompressorPtr hungry = custom_compressor(merging(Anchor::mean), "hungry");
  EXPECT_THROW(compress(*hungry, random_slice(20), 6), std::bad_alloc);
}

TEST(Importance, LeavesNoStretchWithoutEntries) {
  std::vector<int32_t> positions(100);
  std::iota(positions.begin(), positions.end(), 0);
  std::vector<float> importance(positions.begin(), positions.end());
  const Middle middle{.begin = 0, .end = 100};
  const auto staying = [&](double priority, int64_t kept = 10) {
    const std::vector<uint8_t> goes =
        least_important(positions, importance, kept, middle, {.priority = priority, .segments = 4});
    std::vector<int32_t> stays;
    for (size_t i = 0; i < goes.size(); ++i) {
      if (goes[i] == 0) stays.push_back(positions[i]);
    }
    return stays;
  };
  EXPECT_EQ(staying(0.0), (std::vector<int32_t>{90, 91, 92, 93, 94, 95, 96, 97, 98, 99}));
  EXPECT_EQ(staying(0.4), (std::vector<int32_t>{24, 49, 74, 93, 94, 95, 96, 97, 98, 99}));
  EXPECT_EQ(staying(1.0), (std::vector<int32_t>{23, 24, 48, 49, 73, 74, 96, 97, 98, 99}));
  // Shares that are less than one for each stretch.
  EXPECT_EQ(staying(0.3), (std::vector<int32_t>{24, 49, 74, 93, 94, 95, 96, 97, 98, 99}));
  EXPECT_EQ(staying(0.3, 4), (std::vector<int32_t>{24, 49, 74, 99}));
  EXPECT_EQ(staying(0.1, 3), (std::vector<int32_t>{49, 74, 99}));
}

}  // namespace
}  // namespace dms::policy
