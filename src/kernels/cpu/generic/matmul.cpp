// Products in plain C++: the definition that tuned versions are held to, and what runs where no
// other instruction set is at hand. Never tuned.

#include <bit>
#include <cmath>

#include "base/dtype.h"
#include "kernels/cpu/generic/activation.h"
#include "kernels/kernel_table.h"

namespace dms::kernels {
namespace {

constexpr int64_t kTileRows = 4;

/// [columns][rows] floats, the last column group of bf16 weights filled up with zero.
void pack(const PackTileCall& call, int64_t columns_per_group, bool round) {
  auto* tile = static_cast<float*>(call.tile);
  const int64_t groups = (call.columns + columns_per_group - 1) / columns_per_group;
  for (int64_t column = 0; column < groups * columns_per_group; ++column) {
    for (int64_t row = 0; row < call.rows; ++row) {
      const float x = column < call.columns ? call.x[row * call.columns + column] : 0.0f;
      tile[column * call.rows + row] = round ? to_float(to_bf16(x)) : x;
    }
  }
}

void pack_f32(const PackTileCall& call) { pack(call, 1, false); }
void pack_pairs(const PackTileCall& call) { pack(call, 2, false); }
void pack_rounded_pairs(const PackTileCall& call) { pack(call, 2, true); }

float weight_f32(const void* panel, int64_t column, int64_t output) {
  return static_cast<const float*>(panel)[column * kPanelOutputs + output];
}

float weight_bf16(const void* panel, int64_t column, int64_t output) {
  const int64_t index = (column / 2 * kPanelOutputs + output) * 2 + column % 2;
  return to_float(static_cast<const BFloat16*>(panel)[index]);
}

template <int64_t kColumnsPerGroup, float (*kWeight)(const void*, int64_t, int64_t)>
void multiply_tile(const MultiplyTileCall& call) {
  const auto* tile = static_cast<const float*>(call.tile);
  for (int64_t row = 0; row < call.rows; ++row) {
    for (int64_t output = 0; output < kPanelOutputs; ++output) {
      float sum = call.resume ? call.sums[row * kPanelOutputs + output] : 0.0f;
      for (int64_t column = 0; column < call.column_groups * kColumnsPerGroup; ++column) {
        sum += tile[column * call.rows + row] * kWeight(call.panel, column, output);
      }
      call.sums[row * kPanelOutputs + output] = sum;
    }
  }
}

float finished(const FinishTileCall& call, int64_t row, int64_t output) {
  const float sum = call.sums[row * kPanelOutputs + output];
  return call.bias == nullptr ? sum : sum + call.bias[output];
}

void finish_store(const FinishTileCall& call) {
  for (int64_t row = 0; row < call.rows; ++row) {
    for (int64_t output = 0; output < call.outputs; ++output) {
      call.out[row * call.out_stride + output] = finished(call, row, output);
    }
  }
}

void finish_accumulate(const FinishTileCall& call) {
  for (int64_t row = 0; row < call.rows; ++row) {
    for (int64_t output = 0; output < call.outputs; ++output) {
      call.out[row * call.out_stride + output] += finished(call, row, output);
    }
  }
}

void finish_gated(const FinishTileCall& call, Activation op) {
  for (int64_t row = 0; row < call.rows; ++row) {
    for (int64_t output = 0; output < call.outputs; ++output) {
      const float gate = generic::activate(op, finished(call, row, output));
      call.out[row * call.out_stride + output] = gate * finished(call, row, kGateOutputs + output);
    }
  }
}

}  // namespace

const MatmulTable kMatmulGeneric{
    .f32 = {kTileRows, 4, pack_f32, multiply_tile<1, weight_f32>},
    .bf16_f32 = {kTileRows, 8, pack_pairs, multiply_tile<2, weight_bf16>},
    .bf16_bf16 = {kTileRows, 8, pack_rounded_pairs, multiply_tile<2, weight_bf16>},
    .finish_store = finish_store,
    .finish_accumulate = finish_accumulate,
    .finish_gated = finish_gated};

}  // namespace dms::kernels
