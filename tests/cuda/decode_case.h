#pragma once
// Rows that decode beside the definition of semantics.md section 1 in doubles.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <cuda_bf16.h>
#include <gtest/gtest.h>

#include "cuda/decode_cache.h"
#include "cuda/device_buffer.h"
#include "cuda/kernels/decode_attention.h"

namespace dms::cuda {

class DecodeProblem {
 public:
  explicit DecodeProblem(DecodeCase shape, uint32_t seed = 1)
      : c_(std::move(shape)), random_(seed), cache_(c_, random_) {
    make_queries();
    upload();
  }

  int32_t heads() const { return rows() * c_.kv_heads; }
  const DecodeCache& cache() const { return cache_; }
  const DecodeAttentionParams& params() const { return params_; }

  void plan() { testing_support::require_cuda(plan_decode(params_, nullptr)); }
  std::vector<AttentionPiece> pieces(int32_t layer) const {
    const std::vector<int32_t> counts = piece_count_.download();
    return pieces_.download(static_cast<size_t>(layer * params_.plan.max_pieces),
                            static_cast<size_t>(counts[static_cast<size_t>(layer)]));
  }
  std::vector<int32_t> first_pieces(int32_t layer) const {
    return first_piece_.download(static_cast<size_t>(layer * (heads() + 1)),
                                 static_cast<size_t>(heads() + 1));
  }

  std::vector<__nv_bfloat16> attend(int32_t layer) {
    out_.poison();
    params_.layer = layer;
    testing_support::require_cuda(decode_attention(params_, nullptr));
    testing_support::wait_for_device();
    return out_.download();
  }

  /// Plans, attends all layers and compares.
  void expect_right() {
    plan();
    for (int32_t layer = 0; layer < c_.layers; ++layer) expect_right(attend(layer), layer);
  }

  void expect_right(const std::vector<__nv_bfloat16>& out, int32_t layer) const {
    for (int32_t row = 0; row < rows(); ++row) {
      for (int32_t q_head = 0; q_head < q_heads(); ++q_head) {
        if (!expect_row(out, layer, row, q_head)) return;
      }
    }
    for (size_t i = index_of(rows(), 0); i < out.size(); ++i) {
      ASSERT_TRUE(std::isnan(__bfloat162float(out[i]))) << "a row that does not decode was written";
    }
  }

 private:
  static constexpr int32_t kOtherRows = 1;  // that do not decode

  int32_t rows() const { return static_cast<int32_t>(c_.rows.size()); }
  int32_t q_heads() const { return c_.kv_heads * c_.group; }
  size_t index_of(int32_t row, int32_t q_head) const {
    return static_cast<size_t>((row * q_heads() + q_head) * c_.head_dim);
  }
  double normal() { return std::normal_distribution<double>()(random_); }

  void make_queries() {
    queries_.resize(static_cast<size_t>((rows() + kOtherRows) * q_heads() * c_.head_dim),
                    __ushort_as_bfloat16(0xffff));
    const double scale = c_.score_scale / std::sqrt(c_.head_dim);
    for (size_t i = 0; i < index_of(rows(), 0); ++i) {
      queries_[i] = __float2bfloat16(static_cast<float>(scale * normal()));
    }
  }

  void upload() {
    using testing_support::DeviceBuffer;
    device_arena_ = DeviceBuffer<std::byte>(cache_.arena());
    device_window_table_ = DeviceBuffer<uint32_t>(cache_.window_table());
    device_survivor_table_ = DeviceBuffer<uint32_t>(cache_.survivor_table());
    device_survivors_ = DeviceBuffer<int32_t>(cache_.survivor_counts());
    device_fates_ = DeviceBuffer<uint32_t>(cache_.fates());
    device_queries_ = DeviceBuffer<__nv_bfloat16>(queries_);
    std::vector<int32_t> positions;
    std::vector<int32_t> sealed(static_cast<size_t>(cache_.slots()), -1);
    std::vector<int32_t> windows(static_cast<size_t>(cache_.slots()), -1);
    for (int32_t row = 0; row < rows(); ++row) {
      const DecodeRow& r = c_.rows[static_cast<size_t>(row)];
      const auto slot = static_cast<size_t>(cache_.slot_of_row()[static_cast<size_t>(row)]);
      positions.push_back(r.position);
      sealed[slot] = r.sealed_end;
      windows[slot] = r.window;
    }
    device_positions_ = DeviceBuffer<int32_t>(positions);
    device_slots_ = DeviceBuffer<int32_t>(cache_.slot_of_row());
    device_sealed_ = DeviceBuffer<int32_t>(sealed);
    device_windows_ = DeviceBuffer<int32_t>(windows);
    set_params();
  }

  void set_params() {
    using testing_support::DeviceBuffer;
    const int32_t most = most_pieces(rows(), c_.kv_heads, c_.blocks);
    const auto layers = static_cast<size_t>(c_.layers);
    const auto entries = static_cast<size_t>(most * c_.group);
    pieces_ = DeviceBuffer<AttentionPiece>(layers * static_cast<size_t>(most));
    piece_count_ = DeviceBuffer<int32_t>(layers);
    first_piece_ = DeviceBuffer<int32_t>(layers * static_cast<size_t>(heads() + 1));
    partial_ = DeviceBuffer<float>(entries * static_cast<size_t>(c_.head_dim));
    partial_sums_ = DeviceBuffer<float2>(entries);
    out_ = DeviceBuffer<__nv_bfloat16>(queries_.size());
    params_.cache.arena = device_arena_.get();
    params_.cache.layers = c_.layers;
    params_.cache.kv_heads = c_.kv_heads;
    params_.cache.head_dim = c_.head_dim;
    params_.cache.ring_pages = c_.ring_pages;
    params_.cache.max_pages = cache_.max_pages();
    params_.cache.fate_words = cache_.fate_words();
    params_.cache.survivor_format = c_.format;
    params_.cache.window_table = device_window_table_.get();
    params_.cache.survivor_table = device_survivor_table_.get();
    params_.cache.survivors = device_survivors_.get();
    params_.cache.fates = device_fates_.get();
    params_.slots.sealed_end = device_sealed_.get();
    params_.slots.window = device_windows_.get();
    params_.rows.rows = rows() + kOtherRows;
    params_.rows.decode_rows = rows();
    params_.rows.positions = device_positions_.get();
    params_.rows.slots = device_slots_.get();
    params_.plan.pieces = pieces_.get();
    params_.plan.piece_count = piece_count_.get();
    params_.plan.first_piece = first_piece_.get();
    params_.plan.max_pieces = most;
    params_.q_heads = q_heads();
    params_.blocks = c_.blocks;
    params_.queries = device_queries_.get();
    params_.partial = partial_.get();
    params_.partial_sums = partial_sums_.get();
    params_.out = out_.get();
  }

  /// The right values of a row and head, and what the tolerance is relative to: the sum of the
  /// values' sizes by their probabilities.
  void reference(int32_t layer,
                 int32_t row,
                 int32_t q_head,
                 std::vector<double>& right,
                 std::vector<double>& sizes) const {
    const std::vector<DecodeCache::Token>& tokens = cache_.head(row, layer, q_head / c_.group);
    const __nv_bfloat16* query = queries_.data() + index_of(row, q_head);
    std::vector<double> weights;
    for (const DecodeCache::Token& token : tokens) {
      double score = 0.0;
      for (int32_t c = 0; c < c_.head_dim; ++c) {
        score += double{__bfloat162float(query[c])} * token.key[static_cast<size_t>(c)];
      }
      weights.push_back(score);
    }
    const double highest = *std::max_element(weights.begin(), weights.end());
    double total = 0.0;
    for (double& weight : weights) total += weight = std::exp(weight - highest);
    right.assign(static_cast<size_t>(c_.head_dim), 0.0);
    sizes.assign(static_cast<size_t>(c_.head_dim), 0.0);
    for (size_t i = 0; i < tokens.size(); ++i) {
      for (size_t c = 0; c < right.size(); ++c) {
        right[c] += weights[i] / total * tokens[i].value[c];
        sizes[c] += weights[i] / total * std::abs(tokens[i].value[c]);
      }
    }
  }

  /// Probabilities are rounded to bf16, and so is the result: each is off by 2^-8 of it at most.
  /// The rest (float32, ex2.approx) is below a hundredth of that, or of the smallest floats.
  bool expect_row(const std::vector<__nv_bfloat16>& out,
                  int32_t layer,
                  int32_t row,
                  int32_t q_head) const {
    std::vector<double> right;
    std::vector<double> sizes;
    reference(layer, row, q_head, right, sizes);
    for (int32_t c = 0; c < c_.head_dim; ++c) {
      const auto i = static_cast<size_t>(c);
      const double got = __bfloat162float(out[index_of(row, q_head) + i]);
      const double allowed = (std::abs(right[i]) + sizes[i]) * std::ldexp(1.01, -8) + 1e-35;
      if (std::abs(got - right[i]) <= allowed) continue;
      ADD_FAILURE() << "layer " << layer << " row " << row << " head " << q_head << " channel " << c
                    << ": got " << got << ", expected " << right[i] << " +- " << allowed << "\n"
                    << describe(c_);
      return false;
    }
    return true;
  }

  DecodeCase c_;
  std::mt19937 random_;
  DecodeCache cache_;
  std::vector<__nv_bfloat16> queries_;

  testing_support::DeviceBuffer<std::byte> device_arena_;
  testing_support::DeviceBuffer<uint32_t> device_window_table_;
  testing_support::DeviceBuffer<uint32_t> device_survivor_table_;
  testing_support::DeviceBuffer<int32_t> device_survivors_;
  testing_support::DeviceBuffer<uint32_t> device_fates_;
  testing_support::DeviceBuffer<__nv_bfloat16> device_queries_;
  testing_support::DeviceBuffer<int32_t> device_positions_;
  testing_support::DeviceBuffer<int32_t> device_slots_;
  testing_support::DeviceBuffer<int32_t> device_sealed_;
  testing_support::DeviceBuffer<int32_t> device_windows_;
  testing_support::DeviceBuffer<AttentionPiece> pieces_;
  testing_support::DeviceBuffer<int32_t> piece_count_;
  testing_support::DeviceBuffer<int32_t> first_piece_;
  testing_support::DeviceBuffer<float> partial_;
  testing_support::DeviceBuffer<float2> partial_sums_;
  testing_support::DeviceBuffer<__nv_bfloat16> out_;
  DecodeAttentionParams params_;
};

}  // namespace dms::cuda
