#include <cmath>
#include <string>

#include "cuda/qkv_case.h"
#include "policy/policy.h"

namespace dms::cuda {
namespace {

TEST(FinishQkv, ServesAllHeadDimsAndRotations) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int32_t head_dim : {64, 80, 96, 128}) {
    for (const int32_t rotary_dim : {0, 16, 20, 32, head_dim / 2, head_dim}) {
      SCOPED_TRACE(testing::Message() << "head_dim " << head_dim << " rotary_dim " << rotary_dim);
      expect_right({.head_dim = head_dim, .rotary_dim = rotary_dim});
    }
  }
}

TEST(FinishQkv, ServesAllGroups) {
  DMS_NEEDS_CUDA_DEVICE();
  for (int32_t group = 1; group <= 8; ++group) {
    const int32_t kv_heads = 1 + group % 5;
    SCOPED_TRACE(testing::Message() << "group " << group << " kv_heads " << kv_heads);
    for (const bool neuron : {false, true}) {
      expect_right({.q_heads = group * kv_heads, .kv_heads = kv_heads, .neuron = neuron});
    }
  }
}

TEST(FinishQkv, ServesAllMixesOfRows) {
  DMS_NEEDS_CUDA_DEVICE();
  for (int32_t decode_rows = 0; decode_rows <= 3; ++decode_rows) {
    for (const int32_t chunk_rows : {0, 1, 2, 5}) {
      SCOPED_TRACE(testing::Message() << decode_rows << " and " << chunk_rows << " rows");
      expect_right({.decode_rows = decode_rows, .chunk_rows = chunk_rows});
    }
  }
}

TEST(FinishQkv, LeavesOutWhatAModelHasNot) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const bool bias : {false, true}) {
    for (const bool norms : {false, true}) {
      expect_right({.bias = bias, .norms = norms, .neuron = true});
    }
  }
}

TEST(FinishQkv, TakesTheBorrowedChannel) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int32_t rotary_dim : {32, 64}) {
    for (const bool zero_after_rope : {false, true}) {
      for (const bool exact_logits : {false, true}) {
        for (const FateRule rule : {FateRule::keep, FateRule::logit, FateRule::threshold}) {
          expect_right({.rotary_dim = rotary_dim,
                        .neuron = true,
                        .exact_logits = exact_logits,
                        .zero_after_rope = zero_after_rope,
                        .rule = rule});
        }
      }
    }
  }
}

TEST(FinishQkv, SettlesFatesByAllRules) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const FateRule rule :
       {FateRule::keep, FateRule::logit, FateRule::threshold, FateRule::beyond, FateRule::hash}) {
    for (const int32_t shift : {0, 1}) {
      for (const bool per_layer : {false, true}) {
        SCOPED_TRACE(testing::Message() << "rule " << static_cast<int>(rule) << " shift " << shift);
        expect_right({.chunk_rows = 40,
                      .q_heads = 3,
                      .kv_heads = 3,
                      .norms = false,
                      .rule = rule,
                      .shift = shift,
                      .per_layer = per_layer});
      }
    }
  }
}

TEST(RandomNumbers, AreThoseOfThePolicy) {
  constexpr int32_t kFirst = 10;
  constexpr int32_t kCount = 200;
  const QkvCase shape{.kv_heads = 3};
  for (const double cr : {1.5, 8.0}) {
    policy::PolicyRequest request;
    request.layers = kLayers;
    request.kv_heads = shape.kv_heads;
    request.args = {{"cr", std::to_string(cr)}, {"seed", std::to_string(kSeed)}};
    request.window = 16;
    const policy::PolicyPtr random = policy::make_policy("random", request);
    std::vector<uint8_t> evict(static_cast<size_t>(shape.kv_heads * kCount));
    random->decide({.layer = kLayer, .first = kFirst, .count = kCount}, evict);
    for (int32_t i = 0; i < shape.kv_heads * kCount; ++i) {
      const double number = random_number(shape, i / kCount, kFirst + i % kCount);
      EXPECT_EQ(evict[static_cast<size_t>(i)] != 0, number >= 1.0 / cr) << i;
    }
  }
}

/// A token whose number is the share of kept ones itself goes; one that is a bit above would not.
TEST(FinishQkv, ComparesRandomNumbersToTheLastBit) {
  DMS_NEEDS_CUDA_DEVICE();
  QkvCase shape{.decode_rows = 0, .chunk_rows = 3, .rule = FateRule::hash, .shift = 0};
  const double number = random_number(shape, 0, shape.first_position + 1);
  for (const double keep : {number, std::nextafter(number, 0.0), std::nextafter(number, 1.0)}) {
    shape.keep = keep;
    expect_right(shape);
  }
}

TEST(FinishQkv, LeavesFirstAndReplayedTokensAlone) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int32_t sinks : {0, 4}) {
    for (const int32_t replay_end : {0, 3, 33}) {
      for (const FateRule rule : {FateRule::beyond, FateRule::hash}) {
        expect_right({.decode_rows = 1,
                      .chunk_rows = 36,
                      .q_heads = 1,
                      .kv_heads = 1,
                      .rule = rule,
                      .sinks = sinks,
                      .replay_end = replay_end,
                      .first_position = 0,
                      .keep = 0.0});
      }
    }
  }
}

TEST(FinishQkv, WritesAllPlacesOfTheRing) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int32_t position : {0, 31, 32, 63, 64, 95, 96, 97, 127, 128, 220}) {
    expect_right({.decode_rows = 2, .chunk_rows = 0, .first_position = position});
  }
}

TEST(FinishQkv, RefusesWhatItCannotHold) {
  QkvParams params{.q_heads = 2};
  params.cache.kv_heads = 2;
  for (const int32_t head_dim : {66, 132, 256}) {
    params.cache.head_dim = head_dim;
    EXPECT_EQ(finish_qkv(params, nullptr), cudaErrorInvalidValue) << head_dim;
  }
  params.cache.head_dim = 64;
  for (const int32_t rotary_dim : {31, 66}) {
    params.rotary_dim = rotary_dim;
    EXPECT_EQ(finish_qkv(params, nullptr), cudaErrorInvalidValue) << rotary_dim;
  }
}

}  // namespace
}  // namespace dms::cuda
