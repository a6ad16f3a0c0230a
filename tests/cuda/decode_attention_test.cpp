#include "cuda/kernels/decode_attention.h"

#include <cstdint>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "cuda/decode_case.h"

namespace dms::cuda {
namespace {

TEST(DecodeAttention, AttendsOneRowInOnePiece) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const KvFormat format : {KvFormat::bf16, KvFormat::fp8, KvFormat::int8}) {
    for (const int32_t head_dim : {64, 80, 96, 128}) {
      DecodeProblem({.head_dim = head_dim,
                     .kv_heads = 1,
                     .group = 8,
                     .format = format,
                     .blocks = 1,
                     .rows = {{.position = 60, .sealed_end = 20, .window = 9, .survivors = 45}}})
          .expect_right();
    }
  }
}

TEST(DecodeAttention, AttendsManyPieces) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int32_t blocks : {1, 3, 4, 40}) {
    DecodeProblem({.kv_heads = 2,
                   .group = 3,
                   .format = KvFormat::fp8,
                   .layers = 2,
                   .blocks = blocks,
                   .rows = {{.position = 100, .sealed_end = 70, .window = 9, .survivors = 300},
                            {.position = 5},
                            {.position = 164, .sealed_end = 64, .window = 40, .survivors = 33}}})
        .expect_right();
  }
}

}  // namespace
}  // namespace dms::cuda
