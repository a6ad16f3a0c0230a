#pragma once
// Random attention problems, with their answer in float64 by two plain passes over all tokens.

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/dtype.h"
#include "kernels/attention.h"
#include "kernels/isas.h"
#include "kernels/kv_format_table.h"
#include "kernels/kv_rotation.h"
#include "support/seed.h"

namespace dms::kernels {

enum class Masks { none, random, sparse, edges, some_rows_empty, some_pages_empty, all_empty };

struct AttentionShape {
  PageFormat format = KvFormat::bf16;
  int64_t head_dim = 64;
  int64_t group = 1;
  int64_t positions = 1;
  int64_t pages = 1;
  Masks masks = Masks::random;
  bool far = false;
  float score_size = 1.0f;  // standard deviation of the scaled scores
  float soft_cap = 0.0f;
  bool biased = false;
};

inline std::string describe(const AttentionShape& shape) {
  return page_format_name(shape.format) + " head_dim " + std::to_string(shape.head_dim) +
         " group " + std::to_string(shape.group) + " positions " + std::to_string(shape.positions) +
         " pages " + std::to_string(shape.pages) + " masks " +
         std::to_string(static_cast<int>(shape.masks)) + (shape.far ? " far" : "") + " scores " +
         std::to_string(shape.score_size) + " cap " + std::to_string(shape.soft_cap) +
         (shape.biased ? " biased" : "");
}

/// One row's answer and how exact float32 arithmetic can be about it.
struct RowAnswer {
  double max = -std::numeric_limits<double>::infinity();
  double sum = 0;                 // of exp(score - max)
  double score_error = 0;         // bound on |float32 score - score|
  std::vector<double> output;     // [head_dim] normalised
  std::vector<double> magnitude;  // [head_dim] the same with |value|
};

class AttentionProblem {
 public:
  AttentionProblem(const AttentionShape& shape, uint64_t seed) : shape_(shape), random_(seed) {
    fill_queries();
    for (int64_t i = 0; i < shape.pages; ++i) add_page(i);
    if (shape.biased) fill_biases();
    for (int64_t i = 0; i < shape.pages; ++i) {
      const auto n = static_cast<size_t>(i);
      refs_.push_back({.data = pages_[n].data(),
                       .masks = masks_[n].empty() ? nullptr : masks_[n].data(),
                       .far = shape.far && random_() % 2 == 0,
                       .biases = shape.biased ? biases_.data() + i * biases_per_page() : nullptr});
    }
  }

  const AttentionShape& shape() const { return shape_; }
  int64_t rows() const { return shape_.positions * shape_.group; }
  const std::vector<PageRef>& refs() const { return refs_; }

  AttentionArgs args() const {
    return {.layout = layout(),
            .positions = shape_.positions,
            .group = shape_.group,
            .scale = scale(),
            .soft_cap = shape_.soft_cap,
            .q = q_,
            .q_far = shape_.far ? std::span<const float>(q_far_) : std::span<const float>(),
            .far_biases = far_biases_,
            .pages = refs_,
            .q_position_stride = stride()};
  }

  /// The problem of one row alone.
  AttentionArgs row_args(int64_t row, std::vector<PageRef>& row_refs) const {
    AttentionArgs args = this->args();
    const int64_t position = row / shape_.group;
    const auto offset =
        static_cast<size_t>(position * stride() + row % shape_.group * shape_.head_dim);
    row_refs = refs_;
    for (PageRef& ref : row_refs) {
      if (ref.masks != nullptr) ref.masks += position;
      if (ref.biases != nullptr) ref.biases += row % shape_.group * kPageTokens;
    }
    if (shape_.biased) args.far_biases = args.far_biases.subspan(static_cast<size_t>(row), 1);
    args.positions = 1;
    args.group = 1;
    args.q = args.q.subspan(offset, static_cast<size_t>(shape_.head_dim));
    if (!args.q_far.empty()) {
      args.q_far = args.q_far.subspan(offset, static_cast<size_t>(shape_.head_dim));
    }
    args.pages = row_refs;
    args.q_position_stride = 0;
    return args;
  }

  RowAnswer answer(int64_t row) const {
    RowAnswer answer;
    answer.output.resize(static_cast<size_t>(shape_.head_dim));
    answer.magnitude.resize(answer.output.size());
    std::vector<double> scores = row_scores(row, answer);
    for (size_t token = 0; token < scores.size(); ++token) {
      if (std::isinf(scores[token])) continue;
      const double weight = std::exp(scores[token] - answer.max);
      answer.sum += weight;
      const double size = rotated_size(token);
      for (size_t c = 0; c < answer.output.size(); ++c) {
        const double value = values_[token * answer.output.size() + c];
        answer.output[c] += weight * value;
        answer.magnitude[c] += weight * std::max(size, std::abs(value));
      }
    }
    for (size_t c = 0; c < answer.output.size() && answer.sum > 0; ++c) {
      answer.output[c] /= answer.sum;
      answer.magnitude[c] /= answer.sum;
    }
    return answer;
  }

  /// Relative error that float32 sums, the exponential's polynomial and, but for float32 pages, the
  /// rounding of the weights may leave in `sum` and in output against `magnitude`.
  double relative_error(const RowAnswer& answer) const {
    const double weight_rounding = shape_.format == KvFormat::f32 ? 0.0 : 0x1p-8;
    const double tokens = static_cast<double>(shape_.pages * kPageTokens);
    return 2 * (weight_rounding + std::expm1(2 * answer.score_error) + tokens * 0x1p-24 + 2e-6);
  }

 private:
  KvPageLayout layout() const { return {.format = shape_.format, .head_dim = shape_.head_dim}; }
  int64_t stride() const { return shape_.group * shape_.head_dim + 5; }
  float scale() const { return shape_.score_size / std::sqrt(static_cast<float>(shape_.head_dim)); }
  float normal() { return std::normal_distribution<float>()(random_); }
  /// How large any channel of a token's value may be where it is summed, which turning back mixes:
  /// 0 where the sums are of the channels themselves.
  double rotated_size(size_t token) const {
    if (!format_row(shape_.format.values).is_rotated) return 0;
    const auto head_dim = static_cast<size_t>(shape_.head_dim);
    double squares = 0;
    for (size_t c = 0; c < head_dim; ++c) {
      squares += std::pow(static_cast<double>(values_[token * head_dim + c]), 2);
    }
    return std::sqrt(squares);
  }
  /// A query as it is multiplied.
  std::vector<float> rounded(const float* q) const {
    std::vector<float> query(q, q + shape_.head_dim);
    if (shape_.format == KvFormat::f32) return query;
    const bool is_rotated = format_row(shape_.format.keys).is_rotated;
    if (is_rotated) rotate_head(query.data(), shape_.head_dim);
    for (float& x : query) x = to_float(to_bf16(x));
    if (is_rotated) turn_head_back(query.data(), shape_.head_dim);
    return query;
  }

  void fill_queries() {
    for (std::vector<float>* q : {&q_, &q_far_}) {
      q->resize(static_cast<size_t>(shape_.positions * stride()));
      for (float& x : *q) x = normal();
    }
  }

  int64_t biases_per_page() const { return shape_.group * kPageTokens; }

  void fill_biases() {
    biases_.resize(static_cast<size_t>(shape_.pages * biases_per_page()));
    far_biases_.resize(static_cast<size_t>(rows()));
    const float size = 2.0f / scale();  // what they add to scaled scores, times its reciprocal
    for (std::vector<float>* biases : {&biases_, &far_biases_}) {
      for (float& bias : *biases) bias = size * normal();
    }
  }

  /// What is added to q . k of `token` by row `row`.
  double bias(int64_t row, size_t token) const {
    if (!shape_.biased) return 0;
    const auto page = static_cast<int64_t>(token) / kPageTokens;
    const int64_t slot = static_cast<int64_t>(token) % kPageTokens;
    const int64_t at = page * biases_per_page() + row % shape_.group * kPageTokens + slot;
    const bool is_far = refs_[static_cast<size_t>(page)].far;
    return static_cast<double>(biases_[static_cast<size_t>(at)]) +
           (is_far ? static_cast<double>(far_biases_[static_cast<size_t>(row)]) : 0);
  }

  void add_page(int64_t index) {
    AlignedBuffer page(layout().bytes());
    masks_.push_back(page_masks(index));
    for (int64_t slot = 0; slot < kPageTokens; ++slot) {
      const float size = seen_by_none(masks_.back(), slot) ? 1e30f : 1.0f;
      std::vector<float> key(static_cast<size_t>(shape_.head_dim));
      std::vector<float> value(key.size());
      for (float& x : key) x = size * normal();
      for (float& x : value) x = size * normal();
      const std::span<std::byte> bytes{page.data(), static_cast<size_t>(page.bytes())};
      store_token(layout(), bytes, slot, key, value);
      load_token(layout(), bytes, slot, key, value);
      keys_.insert(keys_.end(), key.begin(), key.end());
      values_.insert(values_.end(), value.begin(), value.end());
    }
    pages_.push_back(std::move(page));
  }

  static bool seen_by_none(const std::vector<uint32_t>& masks, int64_t slot) {
    uint32_t seen = masks.empty() ? 1u << slot : 0u;
    for (const uint32_t mask : masks) seen |= mask;
    return (seen >> slot & 1u) == 0;
  }

  std::vector<uint32_t> page_masks(int64_t index) {
    if (shape_.masks == Masks::none || random_() % 5 == 0) {
      if (shape_.masks != Masks::all_empty) return {};
    }
    std::vector<uint32_t> masks(static_cast<size_t>(shape_.positions));
    for (size_t p = 0; p < masks.size(); ++p) masks[p] = mask(index, static_cast<int64_t>(p));
    return masks;
  }

  uint32_t mask(int64_t page, int64_t position) {
    const auto word = [&] { return static_cast<uint32_t>(random_()); };
    switch (shape_.masks) {
      case Masks::sparse:
        return word() & word() & word() & word();
      case Masks::edges:
        return std::vector<uint32_t>{1u, 1u << 31, ~0u, 0u, 0xffffu, 0xffff0000u}[random_() % 6];
      case Masks::some_rows_empty:
        return position % 3 == 1 ? 0u : word();
      case Masks::some_pages_empty:
        return page % 3 != 2 ? 0u : word();
      case Masks::all_empty:
        return 0;
      case Masks::none:
      case Masks::random:
        break;
    }
    return word();
  }

  std::vector<double> row_scores(int64_t row, RowAnswer& answer) const {
    const int64_t position = row / shape_.group;
    const auto offset =
        static_cast<size_t>(position * stride() + row % shape_.group * shape_.head_dim);
    const auto head_dim = static_cast<size_t>(shape_.head_dim);
    std::vector<double> scores;
    const std::vector<float> near = rounded(q_.data() + offset);
    const std::vector<float> far = rounded(q_far_.data() + offset);
    // Turning keys and queries back costs some more roundings.
    const double roundings = static_cast<double>(head_dim) + 32;
    for (size_t token = 0; token < keys_.size() / head_dim; ++token) {
      const PageRef& page = refs_[token / kPageTokens];
      const uint32_t mask = page.masks == nullptr ? ~0u : page.masks[static_cast<size_t>(position)];
      double score = -std::numeric_limits<double>::infinity();
      if ((mask >> token % kPageTokens & 1u) != 0) {
        const std::vector<float>& q = page.far ? far : near;
        double dot = 0;
        double size = 0;
        for (size_t c = 0; c < head_dim; ++c) {
          const double product = static_cast<double>(q[c]) * keys_[token * head_dim + c];
          dot += product;
          size += std::abs(product);
        }
        const double added = bias(row, token);
        dot += added;
        size += 2 * std::abs(added);
        score = dot * static_cast<double>(scale());
        double error = size * scale() * roundings * 0x1p-24;
        if (const double cap = shape_.soft_cap; cap > 0) {
          score = cap * std::tanh(score / cap);
          error += cap * 0x1p-21;
        }
        answer.score_error = std::max(answer.score_error, error);
      }
      answer.max = std::max(answer.max, score);
      scores.push_back(score);
    }
    return scores;
  }

  AttentionShape shape_;
  std::mt19937_64 random_;
  std::vector<float> q_;                      // [positions, stride]
  std::vector<float> q_far_;                  // the same
  std::vector<float> keys_;                   // [pages * 32, head_dim] as stored
  std::vector<float> values_;                 // the same
  std::vector<AlignedBuffer> pages_;          // [pages]
  std::vector<std::vector<uint32_t>> masks_;  // [pages][positions], empty: all visible
  std::vector<PageRef> refs_;                 // [pages]
  std::vector<float> biases_;                 // [pages, group, 32]
  std::vector<float> far_biases_;             // [positions, group]
};

/// Owner of what an AttentionPartial points to, filled with garbage.
struct PartialBuffer {
  PartialBuffer(int64_t rows, int64_t head_dim)
      : max(static_cast<size_t>(rows), 7.0f),
        sum(max),
        output(static_cast<size_t>(rows * head_dim), 7.0f) {}

  AttentionPartial view() { return {.max = max, .sum = sum, .output = output}; }

  std::vector<float> max;
  std::vector<float> sum;
  std::vector<float> output;
};

}  // namespace dms::kernels
