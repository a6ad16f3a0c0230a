// Where a pass begins and ends: tokens to the residual, and the residual to logits.

#include <algorithm>

#include "base/check.h"
#include "base/parallel.h"
#include "kernels/elementwise.h"
#include "model/batch.h"
#include "model/decoder.h"

namespace dms::model {
namespace {

/// Rows of logits are large: the room for a whole chunk's goes with the first pass that wants few.
void fit(std::vector<float>& buffer, size_t count) {
  if (buffer.capacity() / 4 > count) buffer = std::vector<float>();  // {} would keep the room
  buffer.resize(count);
}

}  // namespace

void Decoder::embed(const Batch& batch) {
  const bool is_projected = spec_.embedding_dim != 0;
  const int64_t width = is_projected ? spec_.embedding_dim : spec_.hidden;
  std::vector<float>& rows = is_projected ? work_.embedded : work_.residual;
  if (is_projected) rows.resize(static_cast<size_t>(batch.rows * width));
  const auto scale = static_cast<float>(spec_.embedding_scale);
  parallel_for(batch.rows, ceil_div(kGrainValues, width), [&](int64_t row) {
    const std::span<float> out =
        std::span(rows).subspan(static_cast<size_t>(row * width), static_cast<size_t>(width));
    weights_.get_embedding(batch.row_token[static_cast<size_t>(row)], out);
    if (scale == 1.0f) return;
    for (float& value : out) value *= scale;
  });
  if (is_projected) project_embeddings(batch);
  if (spec_.position == PositionKind::learned) add_positions(batch);
}

void Decoder::project_embeddings(const Batch& batch) {
  kernels::matmul({.weights = weights_.embedding_projection.matrix,
                   .x = work_.embedded,
                   .out = residual(batch),
                   .rows = batch.rows,
                   .out_columns = spec_.hidden,
                   .compute = compute_});
}

void Decoder::add_positions(const Batch& batch) {
  const int64_t hidden = spec_.hidden;
  parallel_for(batch.rows, ceil_div(kGrainValues, hidden), [&](int64_t row) {
    const int64_t position =
        batch.row_position[static_cast<size_t>(row)] + spec_.learned_position_offset;
    const float* learned = weights_.positions.data() + position * hidden;
    float* out = work_.residual.data() + row * hidden;
    for (int64_t i = 0; i < hidden; ++i) out[i] += learned[i];
  });
}

/// What the head multiplies of the rows whose logits are wanted.
std::span<const float> Decoder::head_input(const Batch& batch) {
  const auto hidden = static_cast<size_t>(spec_.hidden);
  const auto rows = std::ssize(batch.logit_rows);
  fit(head_rows_, static_cast<size_t>(rows) * hidden);
  for (int64_t i = 0; i < rows; ++i) {
    const auto from = static_cast<size_t>(batch.logit_rows[static_cast<size_t>(i)]) * hidden;
    std::ranges::copy(std::span(work_.residual).subspan(from, hidden),
                      head_rows_.begin() + i * spec_.hidden);
  }
  if (spec_.has_final_norm) normalise(weights_.final_norm, head_rows_, head_rows_);
  if (spec_.embedding_dim == 0) return head_rows_;
  fit(projected_rows_, static_cast<size_t>(rows * spec_.embedding_dim));
  kernels::matmul({.weights = weights_.head_projection.matrix,
                   .x = head_rows_,
                   .out = projected_rows_,
                   .rows = rows,
                   .out_columns = spec_.embedding_dim,
                   .compute = compute_});
  return projected_rows_;
}

std::span<const float> Decoder::project_head(const Batch& batch) {
  const auto rows = std::ssize(batch.logit_rows);
  if (rows == 0) return {};
  const std::span<const float> input = head_input(batch);
  fit(logits_, static_cast<size_t>(rows * spec_.vocab));
  kernels::matmul({.weights = weights_.head,
                   .x = input,
                   .out = logits_,
                   .rows = rows,
                   .out_columns = spec_.vocab,
                   .compute = compute_});
  if (spec_.logit_soft_cap > 0.0) {
    kernels::soft_cap(static_cast<float>(spec_.logit_soft_cap), logits_);
  }
  return logits_;
}

}  // namespace dms::model
