#pragma once
// finish_qkv() beside the CPU's kernels in the decoder's order, bit for bit.

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "cuda/cache_case.h"
#include "cuda/kernels/qkv.h"
#include "kernels/norm.h"
#include "kernels/rope.h"
#include "policy/hash.h"

namespace dms::cuda {

struct QkvCase {
  int32_t decode_rows = 2;
  int32_t chunk_rows = 3;
  int32_t q_heads = 4;
  int32_t kv_heads = 2;
  int32_t head_dim = 64;
  int32_t rotary_dim = 64;  // 0: heads do not turn
  bool bias = true;
  bool norms = true;
  bool neuron = false;
  bool exact_logits = false;
  bool zero_after_rope = true;
  FateRule rule = FateRule::logit;
  int32_t shift = 1;
  int32_t sinks = 0;
  bool per_layer = false;
  int32_t replay_end = 0;
  int32_t first_position = 30;
  double keep = 0.5;
  float threshold = 0.1f;
};

inline constexpr int32_t kLayers = 2;
inline constexpr int32_t kLayer = 1;
inline constexpr int32_t kPositions = 300;
inline constexpr float kScale = 0.125f;
inline constexpr float kEps = 1e-6f;
inline constexpr float kAlphaScale = 1.7f;
inline constexpr float kAlphaOffset = 0.1f;
inline constexpr uint64_t kSeed = 0x123456789abcdefu;

/// As policy/random.cpp.
inline double random_number(const QkvCase& c, int32_t head, int32_t token) {
  const auto index = static_cast<uint64_t>(int64_t{kLayer} * c.kv_heads + head);
  const uint64_t key = policy::mix(kSeed ^ policy::mix(index));
  return policy::uniform(policy::mix(key ^ static_cast<uint64_t>(token)));
}

class QkvProblem {
 public:
  QkvProblem(const QkvCase& shape, uint32_t seed)
      : c_(shape),
        random_(seed),
        cache_({.slots = shape.decode_rows + 1,
                .layers = kLayers,
                .kv_heads = shape.kv_heads,
                .head_dim = shape.head_dim,
                .ring_pages = 3,
                .fate_words = kPositions / 32 + 1,
                .format = KvFormat::fp8,  // windows are bf16 all the same
                .capacity = 1},
               random_),
        slots_(shape.decode_rows + 1) {
    make_rows();
    make_numbers();
  }

  void expect_right() {
    run();
    const std::vector<uint16_t> queries = queries_.download();
    const std::vector<uint16_t> chunk_keys = chunk_keys_.download();
    const std::vector<uint16_t> chunk_values = chunk_values_.download();
    std::vector<std::byte> arena = cache_.arena();
    std::vector<uint32_t> fates(cache_.fates().size(), 0);
    for (int32_t row = 0; row < rows(); ++row) {
      const std::vector<float> done = finish(row, fates);
      const auto q = std::span(done).first(size_of(c_.q_heads));
      expect_part(queries, size_of(row * c_.q_heads), q, "queries");
      const auto k = std::span(done).subspan(q.size(), size_of(c_.kv_heads));
      const auto v = std::span(done).subspan(q.size() + k.size());
      if (row >= c_.decode_rows) {
        const size_t at = size_of((row - c_.decode_rows) * c_.kv_heads);
        expect_part(chunk_keys, at, k, "chunk keys");
        expect_part(chunk_values, at, v, "chunk values");
      } else {
        take_from_window(arena, row, k, v);
      }
    }
    EXPECT_EQ(cache_.fates().download(), fates);
    EXPECT_TRUE(std::ranges::all_of(arena, [](std::byte b) { return b == std::byte{0xff}; }))
        << "something was written beside the windows";
  }

 private:
  int32_t rows() const { return c_.decode_rows + c_.chunk_rows; }
  size_t size_of(int32_t heads) const { return static_cast<size_t>(heads * c_.head_dim); }
  size_t width() const { return size_of(c_.q_heads + 2 * c_.kv_heads); }

  void make_rows() {
    for (int32_t row = 0; row < rows(); ++row) {
      const int32_t chunk_row = row - c_.decode_rows;
      row_slots_.push_back(std::min(row, c_.decode_rows));
      positions_.push_back(chunk_row < 0 ? c_.first_position + 37 * row
                                         : c_.first_position + chunk_row);
    }
    slots_.replay_end.upload(
        std::vector<int32_t>(static_cast<size_t>(c_.decode_rows + 1), c_.replay_end));
  }

  std::vector<float> numbers(size_t count, float mean = 0.0f) {
    std::normal_distribution<float> normal(mean);
    std::vector<float> values(count);
    for (float& value : values) value = normal(random_);
    return values;
  }

  void make_numbers() {
    qkv_ = numbers(static_cast<size_t>(rows()) * width());
    bias_ = numbers(width());
    q_norm_ = numbers(size_of(1), 1.0f);
    k_norm_ = numbers(size_of(1), 1.0f);
    logits_ = numbers(static_cast<size_t>(rows() * c_.kv_heads));
    if (!logits_.empty()) logits_[0] = std::numeric_limits<float>::quiet_NaN();  // decides nothing
    neuron_logits_ = numbers(logits_.size());
    for (int32_t i = 0; i < kPositions * c_.rotary_dim / 2; ++i) {
      const float angle = static_cast<float>(i % 97) * 0.37f;
      angles_.push_back({std::cos(angle), std::sin(angle)});
    }
  }

  void run() {
    const DeviceBuffer<float> qkv(qkv_);
    const DeviceBuffer<float> bias(bias_);
    const DeviceBuffer<float> q_norm(q_norm_);
    const DeviceBuffer<float> k_norm(k_norm_);
    const DeviceBuffer<float> logits(logits_);
    const DeviceBuffer<float> neuron_logits(neuron_logits_);
    const DeviceBuffer<float2> angles(angles_);
    const DeviceBuffer<int32_t> positions(positions_);
    const DeviceBuffer<int32_t> row_slots(row_slots_);
    queries_ = DeviceBuffer<uint16_t>(size_of(rows() * c_.q_heads));
    chunk_keys_ = DeviceBuffer<uint16_t>(size_of(c_.chunk_rows * c_.kv_heads));
    chunk_values_ = DeviceBuffer<uint16_t>(size_of(c_.chunk_rows * c_.kv_heads));
    const auto bf16 = [](DeviceBuffer<uint16_t>& buffer) {
      return reinterpret_cast<__nv_bfloat16*>(buffer.get());
    };
    QkvParams params{.qkv = qkv.get(),
                     .bias = c_.bias ? bias.get() : nullptr,
                     .q_norm = c_.norms ? q_norm.get() : nullptr,
                     .k_norm = c_.norms ? k_norm.get() : nullptr,
                     .norm_eps = kEps,
                     .angles = c_.rotary_dim > 0 ? angles.get() : nullptr,
                     .rotary_dim = c_.rotary_dim,
                     .q_heads = c_.q_heads,
                     .layer = kLayer,
                     .query_scale = kScale,
                     .neuron = c_.neuron,
                     .zero_after_rope = c_.zero_after_rope,
                     .alpha_scale = kAlphaScale,
                     .alpha_offset = kAlphaOffset,
                     .neuron_logits = c_.exact_logits ? neuron_logits.get() : nullptr,
                     .fate = {.rule = c_.rule,
                              .shift = c_.shift,
                              .sinks = c_.sinks,
                              .threshold = c_.threshold,
                              .keep = c_.keep,
                              .seed = kSeed,
                              .per_layer = c_.per_layer,
                              .logits = logits.get()},
                     .rows = {.rows = rows(),
                              .decode_rows = c_.decode_rows,
                              .positions = positions.get(),
                              .slots = row_slots.get()},
                     .slots = slots_.view(),
                     .cache = cache_.view(),
                     .queries = bf16(queries_),
                     .chunk_keys = bf16(chunk_keys_),
                     .chunk_values = bf16(chunk_values_)};
    require_cuda(finish_qkv(params, nullptr));
    wait_for_device();
  }

  void turn(std::span<float> heads, int32_t position) const {
    if (c_.rotary_dim == 0) return;
    std::vector<float> cos;
    std::vector<float> sin;
    const int32_t half = c_.rotary_dim / 2;
    for (int32_t i = 0; i < half; ++i) {
      const float2 angle = angles_[static_cast<size_t>(position * half + i)];
      cos.push_back(angle.x);
      sin.push_back(angle.y);
    }
    kernels::rope(heads, c_.head_dim, cos, sin);
  }

  /// As Decoder::decide_exactly() and rotate_row().
  std::vector<float> finish(int32_t row, std::vector<uint32_t>& fates) const {
    const auto begin =
        qkv_.begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(row) * width());
    std::vector<float> x(begin, begin + static_cast<std::ptrdiff_t>(width()));
    for (size_t i = 0; c_.bias && i < x.size(); ++i) x[i] += bias_[i];
    const auto q = std::span(x).first(size_of(c_.q_heads));
    const auto k = std::span(x).subspan(q.size(), size_of(c_.kv_heads));
    const auto borrowed = [&](int32_t head) -> float& {
      return q[size_of(head * (c_.q_heads / c_.kv_heads) + 1) - 1];
    };
    std::vector<float> logits;
    for (int32_t head = 0; head < c_.kv_heads; ++head) {
      const auto at = static_cast<size_t>(row * c_.kv_heads + head);
      logits.push_back(logits_[at]);
      if (c_.neuron && c_.exact_logits) borrowed(head) = neuron_logits_[at];
    }
    if (c_.norms) kernels::rms_norm(q, q_norm_, kEps, q);
    if (c_.norms) kernels::rms_norm(k, k_norm_, kEps, k);
    const auto zero_borrowed = [&] {
      for (int32_t head = 0; head < c_.kv_heads; ++head) borrowed(head) = 0.0f;
    };
    if (c_.neuron) {
      for (int32_t head = 0; head < c_.kv_heads; ++head) {
        const float logit = borrowed(head) * kAlphaScale - kAlphaOffset;
        if (c_.rule == FateRule::logit) logits[static_cast<size_t>(head)] = logit;
      }
      zero_borrowed();
    }
    const int32_t position = positions_[static_cast<size_t>(row)];
    turn(q, position);
    turn(k, position);
    if (c_.neuron && c_.zero_after_rope) zero_borrowed();
    for (float& value : q) value *= kScale;
    settle(row, logits, fates);
    return x;
  }

  bool is_evicted(int32_t head, int32_t token, float logit) const {
    switch (c_.rule) {
      case FateRule::keep:
        return false;
      case FateRule::logit:
        return logit > 0.0f;
      case FateRule::threshold:
        return logit < c_.threshold;
      case FateRule::beyond:
        return token >= c_.sinks;
      case FateRule::hash:
        break;
    }
    return random_number(c_, head, token) >= c_.keep;
  }

  void settle(int32_t row, std::span<const float> logits, std::vector<uint32_t>& fates) const {
    const int32_t token = positions_[static_cast<size_t>(row)] - c_.shift;
    if (token < 0 || token < c_.replay_end || token < c_.sinks) return;
    for (int32_t head = 0; head < c_.kv_heads; ++head) {
      const int32_t decider = c_.per_layer ? 0 : head;
      if (!is_evicted(decider, token, logits[static_cast<size_t>(decider)])) continue;
      const int64_t at = cache_.head(row_slots_[static_cast<size_t>(row)], kLayer, head);
      fates[static_cast<size_t>(at * cache_.shape().fate_words + token / 32)] |= 1u << token % 32;
    }
  }

  void expect_part(std::span<const uint16_t> got,
                   size_t at,
                   std::span<const float> expected,
                   const char* what) const {
    const std::vector<uint16_t> bits = bf16_bits(expected);
    for (size_t i = 0; i < bits.size(); ++i) {
      ASSERT_EQ(got[at + i], bits[i])
          << what << " element " << at + i << ": expected " << expected[i];
    }
  }

  /// Compares what lies there and makes it 0xff, as all around it should be.
  void take_from_window(std::vector<std::byte>& arena,
                        int32_t row,
                        std::span<const float> keys,
                        std::span<const float> values) const {
    for (int32_t head = 0; head < c_.kv_heads; ++head) {
      for (const bool is_value : {false, true}) {
        const size_t at = cache_.window_place(
            cache_.head(row, kLayer, head), positions_[static_cast<size_t>(row)], is_value);
        std::vector<uint16_t> got(size_of(1));
        std::memcpy(got.data(), arena.data() + at, got.size() * 2);
        std::memset(arena.data() + at, 0xff, got.size() * 2);
        expect_part(
            got, 0, (is_value ? values : keys).subspan(size_of(head), size_of(1)), "window");
      }
    }
  }

  QkvCase c_;
  std::mt19937 random_;
  TestCache cache_;
  TestSlots slots_;
  std::vector<int32_t> positions_;
  std::vector<int32_t> row_slots_;
  std::vector<float> qkv_;
  std::vector<float> bias_;
  std::vector<float> q_norm_;
  std::vector<float> k_norm_;
  std::vector<float> logits_;
  std::vector<float> neuron_logits_;
  std::vector<float2> angles_;
  DeviceBuffer<uint16_t> queries_;
  DeviceBuffer<uint16_t> chunk_keys_;
  DeviceBuffer<uint16_t> chunk_values_;
};

inline void expect_right(const QkvCase& shape, uint32_t seed = 1) {
  QkvProblem(shape, seed).expect_right();
}

}  // namespace dms::cuda
