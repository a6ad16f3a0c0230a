#include "cuda/weights.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <cuda_fp8.h>
#include <gtest/gtest.h>

#include "base/dtype.h"
#include "cuda/device_buffer.h"
#include "cuda/memory.h"
#include "cuda/source_folder.h"
#include "dms/error.h"
#include "model/spec/load.h"
#include "support/temp_folder.h"

namespace dms::cuda {
namespace {

using kernels::PackedMatrix;
using kernels::WeightFormat;
using model::DecoderWeights;

constexpr float kLargestFp8 = 448.0f;

struct Loaded {
  ModelSpec spec;
  DecoderWeights weights;
};

Loaded load_demo(WeightFormat format) {
  const std::filesystem::path folder = testing_support::source_folder() / "models/demo";
  Loaded loaded{.spec = load_spec(folder, MetadataScope::folder_only), .weights = {}};
  loaded.weights =
      model::load_weights(loaded.spec, *open_checkpoint(folder, loaded.spec), {.format = format});
  return loaded;
}

template <typename T>
std::vector<T> read(const void* data, int64_t count) {
  std::vector<T> values(static_cast<size_t>(count));
  check(cudaMemcpy(values.data(), data, values.size() * sizeof(T), cudaMemcpyDeviceToHost),
        "reading weights");
  return values;
}

/// What a matrix on the device stands for.
std::vector<float> weights_of(const MatrixView& view) {
  const int64_t count = int64_t{view.rows} * view.columns;
  std::vector<float> values(static_cast<size_t>(count));
  if (view.format == MatrixFormat::bf16) {
    const auto data = read<BFloat16>(view.data, count);
    for (size_t i = 0; i < values.size(); ++i) values[i] = to_float(data[i]);
  } else if (view.format == MatrixFormat::fp8) {
    const auto data = read<uint8_t>(view.data, count);
    const auto scales = read<float>(view.scales, view.rows);
    for (size_t i = 0; i < values.size(); ++i) {
      const float code = half_to_float(__nv_cvt_fp8_to_halfraw(data[i], __NV_E4M3).x);
      values[i] = code * scales[i / static_cast<size_t>(view.columns)];
    }
  } else {
    const auto data = read<uint8_t>(view.data, count / 2);
    const auto scales = read<uint16_t>(view.group_scales, count / 32);
    const auto minima = read<uint16_t>(view.group_minima, count / 32);
    for (size_t i = 0; i < values.size(); ++i) {
      const int code = i % 2 == 0 ? data[i / 2] & 15 : data[i / 2] >> 4;
      values[i] =
          half_to_float(scales[i / 32]) * static_cast<float>(code) + half_to_float(minima[i / 32]);
    }
  }
  return values;
}

float largest_of(std::span<const float> row) {
  float largest = 0.0f;
  for (const float value : row) largest = std::max(largest, std::abs(value));
  return largest;
}

void expect_matrix(const MatrixView& view, MatrixFormat format, const PackedMatrix& wanted) {
  ASSERT_EQ(view.format, format);
  ASSERT_EQ(view.rows, wanted.rows());
  ASSERT_EQ(view.columns, wanted.columns());
  const std::vector<float> values = weights_of(view);
  std::vector<float> row(static_cast<size_t>(wanted.columns()));
  for (int64_t i = 0; i < wanted.rows(); ++i) {
    wanted.get_row(i, row);
    const std::span<const float> got =
        std::span(values).subspan(static_cast<size_t>(i) * row.size(), row.size());
    const float scale = largest_of(row) / kLargestFp8;
    for (size_t column = 0; column < row.size(); ++column) {
      const float weight = row[column];
      if (format == MatrixFormat::bf16) {
        ASSERT_EQ(got[column], to_float(to_bf16(weight))) << i << ", " << column;
      } else if (format == MatrixFormat::int4) {
        ASSERT_EQ(got[column], weight) << i << ", " << column;
      } else {
        // Half a step of three bits, or of the subnormal numbers.
        const float step = std::max(std::abs(weight) / 16.0f, scale * 0x1p-10f);
        ASSERT_NEAR(got[column], weight, step * 1.001f) << i << ", " << column;
      }
    }
    if (format == MatrixFormat::fp8) {
      ASSERT_NEAR(largest_of(got), largest_of(row), 1e-6f * largest_of(row)) << "row " << i;
    }
  }
}

void expect_vector(const float* view, std::span<const float> wanted) {
  ASSERT_EQ(view == nullptr, wanted.empty());
  if (wanted.empty()) return;
  const auto values = read<float>(view, std::ssize(wanted));
  for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(values[i], wanted[i]) << i;
}

/// `matrices`: of layers; `head`: of the head.
void expect_weights(const DeviceWeights& device,
                    const DecoderWeights& wanted,
                    MatrixFormat matrices,
                    MatrixFormat head) {
  const bool is_tied = wanted.embedding.bytes() == 0;
  expect_matrix(device.embedding, MatrixFormat::bf16, is_tied ? wanted.head : wanted.embedding);
  expect_matrix(device.head, head, wanted.head);
  EXPECT_EQ(device.head.data == device.embedding.data, is_tied && head == MatrixFormat::bf16);
  expect_vector(device.final_norm.scale, wanted.final_norm.scale);
  ASSERT_EQ(device.layers.size(), wanted.layers.size());
  for (size_t i = 0; i < wanted.layers.size(); ++i) {
    SCOPED_TRACE("layer " + std::to_string(i));
    const DeviceLayer& layer = device.layers[i];
    const model::LayerWeights& from = wanted.layers[i];
    expect_vector(layer.attention_norm.scale, from.attention_norm.scale);
    expect_vector(layer.attention_norm.bias, from.attention_norm.bias);
    expect_matrix(layer.qkv.matrix, matrices, from.qkv.matrix);
    expect_vector(layer.qkv.bias, from.qkv.bias);
    expect_vector(layer.q_norm, from.q_norm);
    expect_vector(layer.k_norm, from.k_norm);
    expect_matrix(layer.attention_output.matrix, matrices, from.attention_output.matrix);
    expect_vector(layer.attention_output.bias, from.attention_output.bias);
    expect_vector(layer.mlp_norm.scale, from.mlp_norm.scale);
    expect_matrix(layer.mlp_in.matrix, matrices, from.mlp_in.matrix);
    expect_matrix(layer.mlp_out.matrix, matrices, from.mlp_out.matrix);
    expect_vector(layer.alpha_norm, from.alpha_norm);
    expect_vector(layer.alpha, from.alpha);
    expect_vector(layer.alpha_bias, from.alpha_bias);
    expect_vector(layer.kvzap.scores, from.kvzap.scores);
  }
}

TEST(CudaWeights, AreTheCpusInBf16) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const WeightFormat format : {WeightFormat::bf16, WeightFormat::int8}) {
    const Loaded demo = load_demo(format);
    const DeviceWeights device = upload_weights(demo.spec, demo.weights, MatrixFormat::bf16);
    expect_weights(device, demo.weights, MatrixFormat::bf16, MatrixFormat::bf16);
    EXPECT_EQ(device.memory.bytes(),
              device_weight_bytes(demo.spec, demo.weights, MatrixFormat::bf16));
  }
}

TEST(CudaWeights, AreTheNearestFp8UnderTheirRowsScale) {
  DMS_NEEDS_CUDA_DEVICE();
  const Loaded demo = load_demo(WeightFormat::bf16);
  const DeviceWeights device = upload_weights(demo.spec, demo.weights, MatrixFormat::fp8);
  expect_weights(device, demo.weights, MatrixFormat::fp8, MatrixFormat::fp8);
}

TEST(CudaWeights, KeepTheCpusInt4BitForBit) {
  DMS_NEEDS_CUDA_DEVICE();
  const Loaded demo = load_demo(WeightFormat::int4);
  const DeviceWeights device = upload_weights(demo.spec, demo.weights, MatrixFormat::int4);
  expect_weights(device, demo.weights, MatrixFormat::int4, MatrixFormat::bf16);
}

TEST(CudaWeights, AreBf16WhereInt4WasWantedOfOtherMatrices) {
  DMS_NEEDS_CUDA_DEVICE();
  const Loaded demo = load_demo(WeightFormat::int8);
  const DeviceWeights device = upload_weights(demo.spec, demo.weights, MatrixFormat::int4);
  expect_weights(device, demo.weights, MatrixFormat::bf16, MatrixFormat::bf16);
}

/// The smallest model of a family, without a file of weights.
ModelSpec tiny_spec(const std::string& type, const std::string& more) {
  const testing_support::TempFolder folder;
  const std::string config = R"({"model_type":")" + type + R"(","hidden_size":64,
      "num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"head_dim":64,
      "intermediate_size":96,"vocab_size":100,"max_position_embeddings":512,
      "rms_norm_eps":1e-6,"hidden_act":"silu","eos_token_id":1)" +
                             more + "}";
  return load_spec_from_config(folder.write("config.json", config));
}

TEST(CudaWeights, CarryBiasesMinimaAndQkNorms) {
  DMS_NEEDS_CUDA_DEVICE();
  const ModelSpec specs[] = {tiny_spec("qwen2", R"(,"tie_word_embeddings":false)"),
                             tiny_spec("qwen3", R"(,"tie_word_embeddings":true)")};
  EXPECT_TRUE(specs[0].qkv_bias);
  EXPECT_TRUE(specs[1].qk_norm);
  for (const ModelSpec& spec : specs) {
    for (const bool minima : {false, true}) {
      DecoderWeights weights =
          model::load_weights(spec, *dms::random_weights(spec, 3), {.format = WeightFormat::int4});
      PackedMatrix& matrix = weights.layers[1].mlp_out.matrix;
      PackedMatrix with_minima(WeightFormat::int4, matrix.rows(), matrix.columns(), minima);
      std::vector<float> row(static_cast<size_t>(matrix.columns()));
      for (int64_t i = 0; i < matrix.rows(); ++i) {
        matrix.get_row(i, row);
        for (float& value : row) value += 0.3f;
        with_minima.set_panel_rows(i / 32, i % 32, 1, row);
      }
      matrix = std::move(with_minima);
      const DeviceWeights device = upload_weights(spec, weights, MatrixFormat::int4);
      expect_weights(device, weights, MatrixFormat::int4, MatrixFormat::bf16);
    }
  }
}

TEST(CudaWeights, OfNeuronModelsHaveTheRowsThatDecide) {
  DMS_NEEDS_CUDA_DEVICE();
  ModelSpec spec = tiny_spec("qwen3", "");
  spec.dms = DmsSpec{.source = DmsSource::neuron};
  const auto source = dms::random_weights(spec, 3);
  const DecoderWeights exact = model::load_weights(spec, *source, {.format = WeightFormat::bf16});
  const DecoderWeights codes = model::load_weights(spec, *source, {.format = WeightFormat::int4});
  std::vector<float> wanted;
  std::vector<float> row(64);
  for (int64_t head = 0; head < spec.kv_heads; ++head) {
    exact.layers[1].qkv.matrix.get_row(model::borrowed_channel(spec, head), row);
    wanted.insert(wanted.end(), row.begin(), row.end());
  }
  const DeviceWeights from_exact = upload_weights(spec, exact, MatrixFormat::fp8);
  expect_vector(from_exact.layers[1].decision_rows, wanted);
  const DeviceWeights from_codes = upload_weights(spec, codes, MatrixFormat::int4);
  expect_vector(from_codes.layers[1].decision_rows, codes.layers[1].decision_rows);
}

TEST(CudaWeights, GeneratedOnesHaveTheShapesOfLoadedOnes) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const std::string& more : {std::string(R"(,"tie_word_embeddings":true)"), std::string()}) {
    const ModelSpec spec = tiny_spec("qwen2", more);
    for (const WeightFormat loaded : {WeightFormat::bf16, WeightFormat::int4}) {
      const MatrixFormat format =
          loaded == WeightFormat::int4 ? MatrixFormat::int4 : MatrixFormat::fp8;
      const DecoderWeights weights =
          model::load_weights(spec, *dms::random_weights(spec, 3), {.format = loaded});
      EXPECT_EQ(random_weights(spec, 5, format).memory.bytes(),
                device_weight_bytes(spec, weights, format));
    }
  }
}

TEST(CudaWeights, GeneratedOnesAreSpreadAsTheySay) {
  DMS_NEEDS_CUDA_DEVICE();
  const ModelSpec spec = tiny_spec("llama", R"(,"tie_word_embeddings":false)");
  for (const MatrixFormat format : {MatrixFormat::bf16, MatrixFormat::fp8, MatrixFormat::int4}) {
    const DeviceWeights first = random_weights(spec, 5, format);
    const DeviceWeights same = random_weights(spec, 5, format);
    const DeviceWeights other = random_weights(spec, 6, format);
    const MatrixView& view = first.layers[1].mlp_out.matrix;
    const std::vector<float> values = weights_of(view);
    EXPECT_EQ(values, weights_of(same.layers[1].mlp_out.matrix));
    EXPECT_NE(values, weights_of(other.layers[1].mlp_out.matrix));
    EXPECT_NE(values, weights_of(first.layers[0].mlp_out.matrix));
    double sum = 0.0;
    double squares = 0.0;
    for (const float value : values) {
      sum += value;
      squares += double{value} * value;
    }
    const auto count = static_cast<double>(values.size());
    EXPECT_NEAR(sum / count, 0.0, 0.005);
    EXPECT_NEAR(std::sqrt(squares / count * view.columns), 1.0, 0.05);
    const double limit = std::sqrt(3.0 / view.columns);
    EXPECT_LE(largest_of(values), 1.001 * limit);
    EXPECT_GE(largest_of(values), 0.93 * limit);
    EXPECT_EQ(read<float>(first.layers[0].mlp_norm.scale, 1)[0], 1.0f);
  }
}

TEST(CudaMemory, ShortageSaysWhatWasWantedAndWhatIsFree) {
  DMS_NEEDS_CUDA_DEVICE();
  try {
    const DeviceBuffer buffer(size_t{1} << 60, "weights");
    FAIL() << "took 2^60 bytes";
  } catch (const RunError& error) {
    EXPECT_NE(std::string(error.what()).find("weights"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("MB free"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("1152921504607 MB"), std::string::npos)
        << error.what();
  }
  const DeviceBuffer buffer(1000, "a test");  // and nothing is left of the failure
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

}  // namespace
}  // namespace dms::cuda
