#include "cuda/kernels/decode_attention.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "cuda/decode_case.h"

namespace dms::cuda {
namespace {

constexpr KvFormat kFormats[] = {KvFormat::bf16, KvFormat::fp8, KvFormat::int8};
constexpr int32_t kHeadDims[] = {64, 80, 96, 128};

TEST(DecodeAttention, AttendsEveryShape) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const KvFormat format : kFormats) {
    for (const int32_t head_dim : kHeadDims) {
      for (int32_t group = 1; group <= 8; ++group) {
        // 45 survivors and 41 tokens of the window: pages of both kinds, none of them full.
        DecodeProblem({.head_dim = head_dim,
                       .kv_heads = 1,
                       .group = group,
                       .format = format,
                       .blocks = 1 + group % 2,
                       .rows = {{.position = 60, .sealed_end = 20, .window = 9, .survivors = 45}}},
                      static_cast<uint32_t>(group))
            .expect_right();
      }
    }
  }
}

TEST(DecodeAttention, AttendsCountsAroundPages) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const KvFormat format : kFormats) {
    DecodeCase shape{.kv_heads = 1, .group = 2, .format = format, .blocks = 3};
    for (const int32_t survivors : {0, 1, 31, 32, 33, 63, 64, 65, 127, 128, 129, 160, 161}) {
      shape.rows.push_back(
          {.position = survivors + 3, .sealed_end = survivors + 2, .survivors = survivors});
    }
    DecodeProblem(shape).expect_right();
  }
}

TEST(DecodeAttention, SeesTheWindowAndWhatIsKeptBeforeIt) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const double evicted : {0.0, 0.5, 1.0}) {
    DecodeCase shape{
        .kv_heads = 1, .group = 1, .format = KvFormat::int8, .ring_pages = 5, .evicted = evicted};
    for (const int32_t sealed_end : {0, 1, 31, 33}) {
      for (const int32_t tokens : {1, 2, 31, 32, 33, 96}) {
        for (const int32_t window : {0, 31, 32, 64}) {
          shape.rows.push_back({.position = sealed_end + tokens - 1,
                                .sealed_end = sealed_end,
                                .window = window,
                                .survivors = sealed_end % 3});
        }
      }
    }
    DecodeProblem(shape).expect_right();
  }
}

TEST(DecodeAttention, FollowsTheRingRound) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int32_t ring_pages : {1, 2, 3, 7}) {
    DecodeCase shape{.group = 2, .ring_pages = ring_pages};
    for (const int32_t laps : {1, 2, 9}) {
      const int32_t first = laps * ring_pages * kPageTokens;
      const int32_t room = ring_pages * kPageTokens;
      shape.rows.push_back({.position = first + room - 1, .sealed_end = first, .window = 20});
      if (ring_pages == 1) continue;
      shape.rows.push_back({.position = first + 5, .sealed_end = first - 7, .window = 3});
      shape.rows.push_back({.position = first, .sealed_end = first - 1, .window = 0});
      shape.rows.push_back({.position = first + room - 33, .sealed_end = first - 32, .window = 40});
    }
    DecodeProblem(shape).expect_right();
  }
}

// Blocks whose piece has no visible token, or only the last page of one.
TEST(DecodeAttention, PassesOverPiecesWithoutVisibleTokens) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const KvFormat format : kFormats) {
    DecodeProblem({.kv_heads = 1,
                   .group = 3,
                   .format = format,
                   .blocks = 8,
                   .ring_pages = 17,
                   .rows = {{.position = 520, .sealed_end = 5, .window = 0},
                            {.position = 500, .sealed_end = 0, .window = 2, .survivors = 3}},
                   .evicted = 1.0})
        .expect_right();
  }
}

TEST(DecodeAttention, DividesHeadsAmongAnyNumberOfBlocks) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int32_t blocks : {1, 2, 3, 4, 7, 40}) {
    DecodeProblem({.head_dim = blocks % 2 == 0 ? 96 : 80,
                   .kv_heads = 2,
                   .group = 3,
                   .format = blocks % 3 == 0 ? KvFormat::int8 : KvFormat::fp8,
                   .layers = 2,
                   .blocks = blocks,
                   .rows = {{.position = 100, .sealed_end = 70, .window = 9, .survivors = 700},
                            {.position = 5},
                            {.position = 0},
                            {.position = 164, .sealed_end = 64, .window = 40, .survivors = 33}}},
                  static_cast<uint32_t>(blocks))
        .expect_right();
  }
}

// 16 pages a head and 4 blocks: heads end where shares do.
TEST(DecodeAttention, LeavesNothingWhereHeadsEndWithShares) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int32_t blocks : {2, 4, 8}) {
    DecodeProblem({.kv_heads = 1,
                   .group = 4,
                   .blocks = blocks,
                   .rows = {{.position = 480, .sealed_end = 479, .survivors = 448},
                            {.position = 31, .sealed_end = 31, .survivors = 480}}})
        .expect_right();
  }
}

TEST(DecodeAttention, StaysExactWhereScoresAreFarApart) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const KvFormat format : kFormats) {
    DecodeProblem({.head_dim = 128,
                   .kv_heads = 1,
                   .group = 8,
                   .format = format,
                   .blocks = 2,
                   .rows = {{.position = 400, .sealed_end = 350, .window = 30, .survivors = 330}},
                   .score_scale = 40.0})
        .expect_right();
  }
}

TEST(DecodeAttention, GivesTheSameBitsAgain) {
  DMS_NEEDS_CUDA_DEVICE();
  DecodeProblem problem({.kv_heads = 2,
                         .group = 2,
                         .blocks = 6,
                         .rows = {{.position = 40, .sealed_end = 10, .survivors = 500}}});
  problem.plan();
  const std::vector<__nv_bfloat16> first = problem.attend(0);
  problem.expect_right(first, 0);
  for (const AttentionPiece& piece : problem.pieces(0)) EXPECT_EQ(piece.arrived, 0);
  const std::vector<__nv_bfloat16> second = problem.attend(0);
  EXPECT_EQ(std::memcmp(first.data(), second.data(), first.size() * sizeof first[0]), 0);
}

TEST(DecodeAttention, RefusesWhatItCannotDo) {
  DMS_NEEDS_CUDA_DEVICE();
  const DecodeProblem problem({.rows = {{.position = 3}}});
  DecodeAttentionParams params = problem.params();
  params.rows.decode_rows = 0;
  EXPECT_EQ(plan_decode(params, nullptr), cudaSuccess);
  EXPECT_EQ(decode_attention(params, nullptr), cudaSuccess);
  params = problem.params();
  params.q_heads = 9 * params.cache.kv_heads;
  EXPECT_EQ(decode_attention(params, nullptr), cudaErrorInvalidValue);
  params = problem.params();
  params.cache.head_dim = 72;
  EXPECT_EQ(decode_attention(params, nullptr), cudaErrorInvalidValue);
  int32_t blocks = 0;
  EXPECT_EQ(decode_blocks(params, blocks), cudaErrorInvalidValue);
  params = problem.params();
  params.plan.max_pieces = 1;
  EXPECT_EQ(plan_decode(params, nullptr), cudaErrorInvalidValue);
}

TEST(DecodeAttention, FillsTheDevice) {
  DMS_NEEDS_CUDA_DEVICE();
  const DecodeProblem problem({.rows = {{.position = 3}}});
  DecodeAttentionParams params = problem.params();
  int processors = 0;
  testing_support::require_cuda(
      cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0));
  for (const int32_t head_dim : kHeadDims) {
    params.cache.head_dim = head_dim;
    int32_t blocks = 0;
    EXPECT_EQ(decode_blocks(params, blocks), cudaSuccess);
    EXPECT_GE(blocks, processors);
    EXPECT_EQ(blocks % processors, 0);
  }
}

/// Each head's pages once and in order, and blocks' shares of bytes equal to a page's: by bytes of
/// an element, a page begins up to one after a share does, and shares differ by one.
void expect_plan(DecodeProblem& problem, int32_t layer) {
  const DecodeAttentionParams& params = problem.params();
  const std::vector<AttentionPiece> pieces = problem.pieces(layer);
  const std::vector<int32_t> first = problem.first_pieces(layer);
  ASSERT_LE(static_cast<int32_t>(pieces.size()), params.plan.max_pieces);
  std::vector<int32_t> share(static_cast<size_t>(params.blocks), 0);
  for (int32_t head = 0; head < problem.heads(); ++head) {
    const int32_t row = head / params.cache.kv_heads;
    const int32_t kv_head = head % params.cache.kv_heads;
    int32_t page = 0;
    int32_t count = 0;
    const int32_t survivor_pages = (problem.cache().survivors(row, layer, kv_head) + 31) / 32;
    for (int32_t i = first[static_cast<size_t>(head)]; i < first[static_cast<size_t>(head + 1)];
         ++i) {
      const AttentionPiece& piece = pieces[static_cast<size_t>(i)];
      if (piece.pages == 0) continue;
      EXPECT_EQ(piece.row, row);
      EXPECT_EQ(piece.kv_head, kv_head);
      EXPECT_EQ(piece.first_page, page);
      EXPECT_EQ(piece.first_piece, first[static_cast<size_t>(head)]);
      EXPECT_EQ(piece.arrived, 0);
      page += piece.pages;
      ++count;
      for (int32_t p = piece.first_page; p < page; ++p) {
        share[static_cast<size_t>(i - head)] +=
            p < survivor_pages ? element_bytes(params.cache.survivor_format) : 2;
      }
    }
    EXPECT_EQ(page, problem.cache().pages(row, layer, kv_head));
    EXPECT_EQ(count, pieces[static_cast<size_t>(first[static_cast<size_t>(head)])].head_pieces);
  }
  while (share.size() > 1 && share.back() == 0) share.pop_back();
  const auto [least, most] = std::minmax_element(share.begin(), share.end());
  EXPECT_LE(*most - *least, 3);
}

TEST(DecodePlan, SharesPagesEqually) {
  DMS_NEEDS_CUDA_DEVICE();
  std::mt19937 random(3);
  for (int trial = 0; trial < 12; ++trial) {
    DecodeCase shape{.head_dim = 64, .kv_heads = 1 + trial % 3, .group = 1, .layers = 2};
    shape.format = kFormats[trial / 2 % 3];
    shape.blocks = std::uniform_int_distribution<int32_t>(1, 40)(random);
    const int rows = std::uniform_int_distribution<int>(1, trial % 4 == 0 ? 20 : 5)(random);
    for (int row = 0; row < rows; ++row) {
      const int32_t sealed = std::uniform_int_distribution<int32_t>(0, 90)(random);
      shape.rows.push_back(
          {.position = sealed + std::uniform_int_distribution<int32_t>(0, 60)(random),
           .sealed_end = sealed,
           .survivors = std::uniform_int_distribution<int32_t>(0, trial < 6 ? 90 : 300)(random)});
    }
    DecodeProblem problem(shape, static_cast<uint32_t>(trial));
    problem.plan();
    testing_support::wait_for_device();
    for (int32_t layer = 0; layer < shape.layers; ++layer) expect_plan(problem, layer);
  }
}

// More heads than a block of the plan has threads.
TEST(DecodePlan, TakesManyHeads) {
  DMS_NEEDS_CUDA_DEVICE();
  DecodeCase shape{.head_dim = 64, .kv_heads = 8, .group = 1, .blocks = 50};
  for (int32_t row = 0; row < 70; ++row) {
    shape.rows.push_back({.position = row, .survivors = row == 40 ? 200 : 0});
  }
  DecodeProblem problem(shape);
  problem.expect_right();
  expect_plan(problem, 0);
}

}  // namespace
}  // namespace dms::cuda
