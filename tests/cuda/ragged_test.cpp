// Against the CPU's functions of the same names, on shapes with every kind of edge.

#include "cuda/kernels/ragged.h"

#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

#include <gtest/gtest.h>

#include "device_buffer.h"
#include "dms/operations.h"

namespace dms::cuda {
namespace {

using testing_support::DeviceBuffer;
using testing_support::require_cuda;

struct Shape {
  int64_t lists;
  int64_t rows;
  int64_t row_bytes;
};

constexpr Shape kShapes[] = {{1, 1, 1},
                             {1, 64, 16},
                             {3, 65, 20},
                             {5, 7, 3},
                             {2, 2049, 4},
                             {300, 3, 16},
                             {2, 130, 256},
                             {4, 0, 8},
                             {0, 5, 8},
                             {3, 5, 0}};

class Ragged : public ::testing::Test {
 protected:
  int64_t below(int64_t end) {
    return static_cast<int64_t>(random_() % static_cast<uint64_t>(end));
  }
  std::vector<std::byte> draw_bytes(int64_t count) {
    std::vector<std::byte> bytes(static_cast<size_t>(count));
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(below(256));
    return bytes;
  }
  /// Some lists keep all, some nothing.
  std::vector<uint8_t> draw_mask(const Shape& shape) {
    std::vector<uint8_t> mask;
    for (int64_t list = 0; list < shape.lists; ++list) {
      const int64_t share = below(5);
      for (int64_t row = 0; row < shape.rows; ++row) {
        mask.push_back(static_cast<uint8_t>(below(4) < share ? 1 + below(255) : 0));
      }
    }
    return mask;
  }

  std::mt19937_64 random_{3};
};

RaggedRowsView view(const Shape& shape, const DeviceBuffer<std::byte>& data) {
  return {data.get(), shape.lists, shape.rows, shape.row_bytes};
}
RaggedRows rows(const Shape& shape, const std::vector<std::byte>& data) {
  return {data, shape.lists, shape.rows, shape.row_bytes};
}
size_t bytes(int64_t rows, const Shape& shape) {
  return static_cast<size_t>(rows * shape.row_bytes);
}

TEST_F(Ragged, PadsOnTheLeft) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const Shape& shape : kShapes) {
    for (const int64_t width : {shape.rows, shape.rows + 70, shape.rows / 2}) {
      const std::vector<std::byte> x = draw_bytes(shape.lists * shape.rows * shape.row_bytes);
      std::vector<int64_t> lengths;
      for (int64_t list = 0; list < shape.lists; ++list) {
        lengths.push_back(below(std::min(shape.rows, width) + 1));
      }
      std::vector<std::byte> expected(bytes(shape.lists * width, shape));
      dms::left_pad_2d(rows(shape, x), lengths, width, expected);
      const DeviceBuffer<std::byte> data(x);
      const DeviceBuffer<int64_t> device_lengths(lengths);
      DeviceBuffer<std::byte> out(expected.size());
      DeviceBuffer<int32_t> wrong(std::vector<int32_t>{0});
      require_cuda(left_pad_2d({.x = view(shape, data),
                                .lengths = device_lengths.get(),
                                .width = width,
                                .out = out.get(),
                                .wrong = wrong.get()},
                               nullptr));
      EXPECT_EQ(out.download(), expected) << shape.rows << " rows to " << width;
      EXPECT_EQ(wrong.download()[0], 0);
    }
  }
}

TEST_F(Ragged, ScattersByIndex) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const Shape& shape : kShapes) {
    if (shape.lists != 1 || shape.row_bytes == 0) continue;
    const int64_t places = shape.rows + 9;
    std::vector<int64_t> index(static_cast<size_t>(places));
    std::iota(index.begin(), index.end(), 0);
    std::shuffle(index.begin(), index.end(), random_);
    index.resize(static_cast<size_t>(shape.rows));
    const std::vector<std::byte> x = draw_bytes(shape.rows * shape.row_bytes);
    std::vector<std::byte> expected = draw_bytes(places * shape.row_bytes);
    const DeviceBuffer<std::byte> data(x);
    const DeviceBuffer<int64_t> device_index(index);
    DeviceBuffer<std::byte> out(expected);
    DeviceBuffer<int32_t> wrong(std::vector<int32_t>{0});
    dms::scatter_by_index(rows(shape, x), index, expected);
    require_cuda(scatter_by_index({.x = view(shape, data),
                                   .index = device_index.get(),
                                   .out_rows = places,
                                   .out = out.get(),
                                   .wrong = wrong.get()},
                                  nullptr));
    EXPECT_EQ(out.download(), expected);
    EXPECT_EQ(wrong.download()[0], 0);
  }
}

TEST_F(Ragged, GathersWhatAMaskKeeps) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const Shape& shape : kShapes) {
    const std::vector<std::byte> x = draw_bytes(shape.lists * shape.rows * shape.row_bytes);
    const std::vector<uint8_t> mask = draw_mask(shape);
    int64_t most = 0;
    for (const int64_t count : count_kept(rows(shape, x), mask)) most = std::max(most, count);
    for (const int64_t width : {most, most + 65}) {
      std::vector<std::byte> expected(bytes(shape.lists * width, shape));
      dms::bool_gather_left_pad(rows(shape, x), mask, width, expected);
      const DeviceBuffer<std::byte> data(x);
      const DeviceBuffer<uint8_t> device_mask(mask);
      DeviceBuffer<std::byte> out(expected.size());
      DeviceBuffer<int32_t> wrong(std::vector<int32_t>{0});
      DeviceBuffer<std::byte> workspace(
          static_cast<size_t>(ragged_workspace_bytes(view(shape, data))));
      require_cuda(bool_gather_left_pad({.x = view(shape, data),
                                         .mask = device_mask.get(),
                                         .width = width,
                                         .out = out.get(),
                                         .wrong = wrong.get(),
                                         .workspace = workspace.get()},
                                        nullptr));
      EXPECT_EQ(out.download(), expected) << shape.rows << " rows to " << width;
      EXPECT_EQ(wrong.download()[0], 0);
    }
  }
}

TEST_F(Ragged, CompactsWhatAMaskKeeps) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const Shape& shape : kShapes) {
    const std::vector<std::byte> x = draw_bytes(shape.lists * shape.rows * shape.row_bytes);
    const std::vector<uint8_t> mask = draw_mask(shape);
    std::vector<int64_t> begins{0};
    for (const int64_t count : count_kept(rows(shape, x), mask)) {
      begins.push_back(begins.back() + count);
    }
    std::vector<std::byte> expected(bytes(begins.back(), shape));
    dms::compact_by_bool(rows(shape, x), mask, expected);
    const DeviceBuffer<std::byte> data(x);
    const DeviceBuffer<uint8_t> device_mask(mask);
    DeviceBuffer<std::byte> out(expected.size());
    DeviceBuffer<int64_t> device_begins(begins.size());
    DeviceBuffer<std::byte> workspace(
        static_cast<size_t>(ragged_workspace_bytes(view(shape, data))));
    require_cuda(compact_by_bool({.x = view(shape, data),
                                  .mask = device_mask.get(),
                                  .out = out.get(),
                                  .begins = device_begins.get(),
                                  .workspace = workspace.get()},
                                 nullptr));
    EXPECT_EQ(out.download(), expected);
    EXPECT_EQ(device_begins.download(), begins);
  }
}

TEST_F(Ragged, TellsOfWhatIsOutOfRangeAndWritesNothingThere) {
  DMS_NEEDS_CUDA_DEVICE();
  const Shape shape{2, 3, 4};
  const DeviceBuffer<std::byte> data(draw_bytes(24));
  const DeviceBuffer<uint8_t> mask(std::vector<uint8_t>{1, 1, 1, 0, 1, 0});
  DeviceBuffer<std::byte> workspace(static_cast<size_t>(ragged_workspace_bytes(view(shape, data))));
  for (const int64_t length : {int64_t{-1}, int64_t{3}}) {
    const DeviceBuffer<int64_t> lengths(std::vector<int64_t>{length, 1});
    DeviceBuffer<std::byte> out(16);
    DeviceBuffer<int32_t> wrong(std::vector<int32_t>{0});
    require_cuda(left_pad_2d({.x = view(shape, data),
                              .lengths = lengths.get(),
                              .width = 2,
                              .out = out.get(),
                              .wrong = wrong.get()},
                             nullptr));
    EXPECT_EQ(out.download(0, 8), std::vector<std::byte>(8));
    EXPECT_EQ(wrong.download()[0], 1);
  }
  DeviceBuffer<std::byte> out(16);
  DeviceBuffer<int32_t> wrong(std::vector<int32_t>{0});
  require_cuda(bool_gather_left_pad({.x = view(shape, data),
                                     .mask = mask.get(),
                                     .width = 2,
                                     .out = out.get(),
                                     .wrong = wrong.get(),
                                     .workspace = workspace.get()},
                                    nullptr));
  EXPECT_EQ(out.download(0, 8), std::vector<std::byte>(8));
  EXPECT_EQ(wrong.download()[0], 1);
  for (const int64_t place : {int64_t{-1}, int64_t{4}}) {
    const DeviceBuffer<int64_t> index(std::vector<int64_t>{0, place, 2});
    DeviceBuffer<std::byte> places(16);
    wrong.zero();
    require_cuda(scatter_by_index({.x = {data.get(), 1, 3, 4},
                                   .index = index.get(),
                                   .out_rows = 4,
                                   .out = places.get(),
                                   .wrong = wrong.get()},
                                  nullptr));
    EXPECT_EQ(places.download(0, 4), data.download(0, 4));
    EXPECT_EQ(places.download(4, 4), std::vector<std::byte>(4, std::byte{0xff}));
    EXPECT_EQ(places.download(8, 4), data.download(8, 4));
    EXPECT_EQ(wrong.download()[0], 1);
  }
}

struct PromptShape {
  int32_t tokens;
  int32_t q_heads;
  int32_t kv_heads;
  int32_t head_dim;
  int32_t window;
  float scale;
};

TEST_F(Ragged, AttendsAWholePromptInOnePass) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const PromptShape& shape : {PromptShape{1, 1, 1, 64, 0, 0.0f},
                                   PromptShape{97, 4, 2, 64, 16, 0.0f},
                                   PromptShape{64, 3, 1, 80, 1, 0.1f},
                                   PromptShape{40, 2, 2, 128, 256, 0.0f}}) {
    const auto draw = [&](int64_t count) {
      std::vector<__nv_bfloat16> numbers;
      std::normal_distribution<float> normal;
      for (int64_t i = 0; i < count; ++i) numbers.push_back(__float2bfloat16(normal(random_)));
      return numbers;
    };
    const auto widen = [](const std::vector<__nv_bfloat16>& from) {
      std::vector<float> to;
      for (const __nv_bfloat16 x : from) to.push_back(__bfloat162float(x));
      return to;
    };
    const int64_t kv_width = shape.kv_heads * shape.head_dim;
    const auto queries = draw(int64_t{shape.tokens} * shape.q_heads * shape.head_dim);
    const auto keys = draw(shape.tokens * kv_width);
    const auto values = draw(shape.tokens * kv_width);
    std::vector<uint8_t> evicted;
    for (int32_t i = 0; i < shape.kv_heads * shape.tokens; ++i) {
      evicted.push_back(static_cast<uint8_t>(below(2) * (1 + below(255))));
    }
    const std::vector<float> wide_queries = widen(queries);
    const std::vector<float> wide_keys = widen(keys);
    const std::vector<float> wide_values = widen(values);
    std::vector<float> expected(queries.size());
    dms::dms_fused_prefill({.tokens = shape.tokens,
                            .q_heads = shape.q_heads,
                            .kv_heads = shape.kv_heads,
                            .head_dim = shape.head_dim,
                            .queries = wide_queries,
                            .keys = wide_keys,
                            .values = wide_values,
                            .evicted = evicted,
                            .window = shape.window,
                            .scale = shape.scale},
                           expected);

    const DeviceBuffer<__nv_bfloat16> device_queries(queries);
    const DeviceBuffer<__nv_bfloat16> device_keys(keys);
    const DeviceBuffer<__nv_bfloat16> device_values(values);
    const DeviceBuffer<uint8_t> device_evicted(evicted);
    DeviceBuffer<__nv_bfloat16> out(queries.size());
    FusedPrefillParams params{.tokens = shape.tokens,
                              .q_heads = shape.q_heads,
                              .kv_heads = shape.kv_heads,
                              .head_dim = shape.head_dim,
                              .queries = device_queries.get(),
                              .keys = device_keys.get(),
                              .values = device_values.get(),
                              .evicted = device_evicted.get(),
                              .window = shape.window,
                              .scale = shape.scale,
                              .out = out.get()};
    DeviceBuffer<std::byte> workspace(static_cast<size_t>(fused_prefill_workspace_bytes(params)));
    params.workspace = workspace.get();
    require_cuda(dms_fused_prefill(params, nullptr));
    const std::vector<float> got = widen(out.download());
    // The largest value is about 4; weights and results are rounded to bf16, by 2^-8 of each.
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_NEAR(got[i], expected[i], 4.0f / 256 * 2) << shape.tokens << " tokens, number " << i;
    }
  }
}

}  // namespace
}  // namespace dms::cuda
