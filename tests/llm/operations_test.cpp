// The operations against the loops they replace, and the prefill against attention under an
// explicit mask in float64.

#include "dms/operations.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "dms/error.h"

namespace dms {
namespace {

using Random = std::mt19937;

int64_t pick(Random& random, int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(random);
}

/// Lists of rows of floats, a mask, and the loops' view of them.
struct Batch {
  explicit Batch(Random& random)
      : lists(pick(random, 0, 7)), rows(pick(random, 0, 40)), width(pick(random, 1, 9)) {
    x.resize(static_cast<size_t>(lists * rows * width));
    for (float& value : x) value = std::normal_distribution<float>()(random);
    mask.resize(static_cast<size_t>(lists * rows));
    for (uint8_t& keep : mask) keep = static_cast<uint8_t>(pick(random, 0, 2));
  }
  RaggedRows ragged() const {
    return {.data = std::as_bytes(std::span(x)),
            .lists = lists,
            .rows = rows,
            .row_bytes = width * static_cast<int64_t>(sizeof(float))};
  }
  std::vector<float> row(int64_t list, int64_t at) const {
    const auto from = x.begin() + (list * rows + at) * width;
    return {from, from + width};
  }
  std::vector<std::vector<float>> kept(int64_t list) const {
    std::vector<std::vector<float>> result;
    for (int64_t at = 0; at < rows; ++at) {
      if (mask[static_cast<size_t>(list * rows + at)] != 0) result.push_back(row(list, at));
    }
    return result;
  }
  std::vector<float> padded(const std::vector<std::vector<float>>& kept_rows, int64_t to) const {
    std::vector<float> result(static_cast<size_t>((to - std::ssize(kept_rows)) * width));
    for (const auto& one : kept_rows) result.insert(result.end(), one.begin(), one.end());
    return result;
  }

  int64_t lists, rows, width;
  std::vector<float> x;
  std::vector<uint8_t> mask;
};

std::span<std::byte> bytes_of(std::vector<float>& out) {
  return std::as_writable_bytes(std::span(out));
}

TEST(Operations, PadAndGatherAndCompactAsLoopsDo) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    Random random(seed);
    const Batch batch(random);
    const int64_t to = batch.rows + pick(random, 0, 3);
    std::vector<int64_t> lengths;
    std::vector<float> want_padded, want_gathered, want_compact;
    for (int64_t list = 0; list < batch.lists; ++list) {
      lengths.push_back(pick(random, 0, batch.rows));
      std::vector<std::vector<float>> first;
      for (int64_t at = 0; at < lengths.back(); ++at) first.push_back(batch.row(list, at));
      for (const float value : batch.padded(first, to)) want_padded.push_back(value);
      for (const float value : batch.padded(batch.kept(list), to)) want_gathered.push_back(value);
      for (const auto& one : batch.kept(list)) {
        want_compact.insert(want_compact.end(), one.begin(), one.end());
      }
    }
    std::vector<float> out(want_padded.size(), 7.0f);
    left_pad_2d(batch.ragged(), lengths, to, bytes_of(out));
    EXPECT_EQ(out, want_padded) << seed;
    out.assign(out.size(), 7.0f);
    bool_gather_left_pad(batch.ragged(), batch.mask, to, bytes_of(out));
    EXPECT_EQ(out, want_gathered) << seed;
    out.assign(want_compact.size(), 7.0f);
    compact_by_bool(batch.ragged(), batch.mask, bytes_of(out));
    EXPECT_EQ(out, want_compact) << seed;
  }
}

TEST(Operations, ScatterRestoresAnOrder) {
  Random random(5);
  constexpr int64_t kRows = 3000, kWidth = 3;
  std::vector<float> sorted(kRows * kWidth);
  std::iota(sorted.begin(), sorted.end(), 0.0f);
  std::vector<int64_t> index(kRows);
  std::iota(index.begin(), index.end(), 0);
  std::ranges::shuffle(index, random);
  std::vector<float> shuffled;
  for (const int64_t at : index) {
    const auto from = sorted.begin() + at * kWidth;
    shuffled.insert(shuffled.end(), from, from + kWidth);
  }
  std::vector<float> out(sorted.size() + kWidth, -1.0f);
  const RaggedRows x{.data = std::as_bytes(std::span(shuffled)),
                     .lists = 1,
                     .rows = kRows,
                     .row_bytes = kWidth * static_cast<int64_t>(sizeof(float))};
  scatter_by_index(x, index, bytes_of(out));
  EXPECT_TRUE(std::equal(sorted.begin(), sorted.end(), out.begin()));
  EXPECT_EQ(out.back(), -1.0f);  // nobody named it
  index[1] = index[0];
  EXPECT_THROW(scatter_by_index(x, index, bytes_of(out)), InputError);
}

TEST(Operations, RefuseSizesThatDisagree) {
  std::vector<float> x(12), out(12);
  const RaggedRows rows{.data = std::as_bytes(std::span(x)), .lists = 2, .rows = 3, .row_bytes = 8};
  const std::vector<uint8_t> mask(6, 1);
  const std::vector<int64_t> too_long{4, 1};
  EXPECT_THROW(left_pad_2d(rows, too_long, 3, bytes_of(out)), InputError);
  EXPECT_THROW(bool_gather_left_pad(rows, mask, 2, bytes_of(out)), InputError);
  EXPECT_THROW(compact_by_bool(rows, std::span(mask).first(5), bytes_of(out)), InputError);
  const std::vector<int64_t> beyond{0, 1, 9};
  const RaggedRows list{.data = rows.data, .lists = 1, .rows = 3, .row_bytes = 16};
  EXPECT_THROW(scatter_by_index(list, beyond, bytes_of(out)), InputError);
  RaggedRows huge = rows;
  huge.rows = int64_t{1} << 60;
  EXPECT_THROW(count_kept(huge, mask), InputError);
}

TEST(Operations, ScatterRowsWithoutBytes) {
  std::vector<int64_t> index{2, 0, 1};
  const RaggedRows x{.data = {}, .lists = 1, .rows = 3};
  EXPECT_NO_THROW(scatter_by_index(x, index, {}));
  index[0] = 3;
  EXPECT_THROW(scatter_by_index(x, index, {}), InputError);
  index[0] = 1;
  EXPECT_THROW(scatter_by_index(x, index, {}), InputError);
}

/// The field of the InputError that `call` throws, and what is wrong with it.
template <class Call>
std::string refusal(const Call& call) {
  try {
    call();
  } catch (const InputError& error) {
    return error.parts().field + " " + error.parts().what;
  }
  return "nothing was refused";
}

/// One piece of memory for an operation's input and output, 6 rows of 8 bytes with `out` at a
/// place.
struct SharedMemory {
  RaggedRows rows(int64_t lists) const {
    return {.data = std::as_bytes(std::span(memory)).first(48),
            .lists = lists,
            .rows = 6 / lists,
            .row_bytes = 8};
  }
  std::span<std::byte> out_at(size_t byte) {
    return std::as_writable_bytes(std::span(memory)).subspan(byte, 48);
  }

  std::vector<int64_t> memory = std::vector<int64_t>(12);
};

TEST(Operations, RefuseToWriteWhatTheyRead) {
  SharedMemory shared;
  const std::vector<int64_t> lengths{3, 3}, order{1, 2, 0, 5, 3, 4};
  const std::vector<uint8_t> mask(6, 1);
  for (const size_t at : {size_t{0}, size_t{8}, size_t{40}}) {
    const std::span<std::byte> out = shared.out_at(at);
    EXPECT_EQ(refusal([&] { left_pad_2d(shared.rows(2), lengths, 3, out); }), "out overlaps x");
    EXPECT_EQ(refusal([&] { scatter_by_index(shared.rows(1), order, out); }), "out overlaps x");
    EXPECT_EQ(refusal([&] { bool_gather_left_pad(shared.rows(2), mask, 3, out); }),
              "out overlaps x");
    EXPECT_EQ(refusal([&] { compact_by_bool(shared.rows(2), mask, out); }), "out overlaps x");
  }
  EXPECT_NO_THROW(left_pad_2d(shared.rows(2), lengths, 3, shared.out_at(48)));  // beside it
}

/// Sizes are checked before anything is written: what they come from must not change after.
TEST(Operations, RefuseToWriteWhatSaysHowMuchTheyWrite) {
  const SharedMemory apart;
  SharedMemory shared;
  const std::span<std::byte> out = shared.out_at(0);
  const std::span<const int64_t> numbers(shared.memory);
  const std::span<const uint8_t> mask(reinterpret_cast<const uint8_t*>(numbers.data()) + 42, 6);
  EXPECT_EQ(refusal([&] { left_pad_2d(apart.rows(2), numbers.subspan(4, 2), 3, out); }),
            "out overlaps lengths");
  EXPECT_EQ(refusal([&] { scatter_by_index(apart.rows(1), numbers.subspan(5, 6), out); }),
            "out overlaps index");
  EXPECT_EQ(refusal([&] { bool_gather_left_pad(apart.rows(2), mask, 3, out); }),
            "out overlaps mask");
  std::vector<int64_t> ones(12, 0x0101010101010101);
  const std::span<const uint8_t> kept(reinterpret_cast<const uint8_t*>(ones.data()), 6);
  EXPECT_EQ(refusal([&] {
              compact_by_bool(
                  apart.rows(2), kept, std::as_writable_bytes(std::span(ones)).first(48));
            }),
            "out overlaps mask");
}

/// Random queries, keys, values and fates.
struct Prompt {
  Prompt(Random& random, int64_t tokens, int64_t window) {
    call.tokens = tokens;
    call.kv_heads = pick(random, 1, 3);
    call.q_heads = call.kv_heads * pick(random, 1, 8);
    call.head_dim = 2 * pick(random, 1, 40);
    call.window = window;
    for (auto* rows : {&queries, &keys, &values}) {
      const int64_t heads = rows == &queries ? call.q_heads : call.kv_heads;
      rows->resize(static_cast<size_t>(tokens * heads * call.head_dim));
      for (float& value : *rows) value = std::normal_distribution<float>()(random);
    }
    for (int64_t i = 0; i < call.kv_heads * tokens; ++i) {
      evicted.push_back(static_cast<uint8_t>(pick(random, 0, 3) > 0));
    }
    call.queries = queries;
    call.keys = keys;
    call.values = values;
    call.evicted = evicted;
  }

  FusedPrefill call;
  std::vector<float> queries, keys, values;
  std::vector<uint8_t> evicted;
};

/// One query head's output at one position.
std::vector<double> masked_attention(const FusedPrefill& call, int64_t head, int64_t t) {
  const int64_t kv_head = head / (call.q_heads / call.kv_heads);
  const float* q = call.queries.data() + (t * call.q_heads + head) * call.head_dim;
  const auto row = [&](std::span<const float> rows, int64_t i) {
    return rows.data() + (i * call.kv_heads + kv_head) * call.head_dim;
  };
  std::vector<double> output(static_cast<size_t>(call.head_dim));
  double sum = 0;
  for (int64_t i = 0; i <= t; ++i) {
    const bool is_gone = call.evicted[static_cast<size_t>(kv_head * call.tokens + i)] != 0;
    if (t - i > call.window && is_gone) continue;
    double score = 0;
    for (int64_t c = 0; c < call.head_dim; ++c)
      score += double{q[c]} * double{row(call.keys, i)[c]};
    const double weight = std::exp(score / std::sqrt(static_cast<double>(call.head_dim)));
    sum += weight;
    for (int64_t c = 0; c < call.head_dim; ++c) {
      output[static_cast<size_t>(c)] += weight * double{row(call.values, i)[c]};
    }
  }
  for (double& value : output) value /= sum;
  return output;
}

TEST(Operations, FusedPrefillIsAttentionUnderTheMask) {
  Random random(11);
  for (const int64_t tokens : {1, 31, 32, 33, 97, 200}) {
    for (const int64_t window : {0, 1, 31, 32, 64, 300}) {
      const Prompt prompt(random, tokens, window);
      const FusedPrefill& call = prompt.call;
      std::vector<float> out(prompt.queries.size());
      dms_fused_prefill(call, out);
      for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t head = 0; head < call.q_heads; ++head) {
          const std::vector<double> want = masked_attention(call, head, t);
          for (int64_t c = 0; c < call.head_dim; ++c) {
            const auto at = static_cast<size_t>((t * call.q_heads + head) * call.head_dim + c);
            ASSERT_NEAR(out[at], want[static_cast<size_t>(c)], 2e-5)
                << tokens << " tokens, window " << window << ", query " << t;
          }
        }
      }
    }
  }
}

TEST(Operations, FusedPrefillRefusesWhatItCannotBe) {
  Random random(3);
  Prompt prompt(random, 5, 2);
  std::vector<float> out(prompt.queries.size());
  FusedPrefill call = prompt.call;
  call.dtype = "int8";
  EXPECT_THROW(dms_fused_prefill(call, out), InputError);
  call = prompt.call;
  call.window = -1;
  EXPECT_THROW(dms_fused_prefill(call, out), InputError);
  call = prompt.call;
  call.evicted = call.evicted.first(call.evicted.size() - 1);
  EXPECT_THROW(dms_fused_prefill(call, out), InputError);
  call = prompt.call;
  call.kv_heads = 0;
  EXPECT_THROW(dms_fused_prefill(call, out), InputError);
  call = prompt.call;
  call.tokens = int64_t{1} << 61;
  EXPECT_THROW(dms_fused_prefill(call, out), InputError);
}

TEST(Operations, FusedPrefillRefusesScalesThatAreNoNumberAboveZero) {
  Random random(3);
  Prompt prompt(random, 5, 2);
  std::vector<float> out(prompt.queries.size());
  FusedPrefill call = prompt.call;
  for (const double scale : {std::nan(""), -0.1, HUGE_VAL, -HUGE_VAL, 1e-60, 1e60}) {
    call.scale = scale;
    EXPECT_EQ(refusal([&] { dms_fused_prefill(call, out); }), "scale out of range") << scale;
  }
  call.scale = 1e-30;
  EXPECT_NO_THROW(dms_fused_prefill(call, out));
}

/// As one of all tokens, however much room it would ask for.
TEST(Operations, FusedPrefillTakesAnyWindow) {
  Random random(4);
  Prompt prompt(random, 70, 70);
  std::vector<float> want(prompt.queries.size()), out(want.size());
  dms_fused_prefill(prompt.call, want);
  for (const int64_t window : {int64_t{1} << 40, std::numeric_limits<int64_t>::max()}) {
    prompt.call.window = window;
    dms_fused_prefill(prompt.call, out);
    EXPECT_EQ(out, want) << window;
  }
}

TEST(Operations, FusedPrefillRefusesToWriteWhatItReads) {
  Random random(3);
  Prompt prompt(random, 5, 2);
  prompt.call.q_heads = prompt.call.kv_heads;  // all of one size
  const size_t values = prompt.keys.size();
  prompt.queries.resize(values);
  prompt.call.queries = prompt.queries;
  std::vector<float> out(values);
  for (const auto& [rows, name] : {std::pair{&prompt.queries, "queries"},
                                   std::pair{&prompt.keys, "keys"},
                                   std::pair{&prompt.values, "values"}}) {
    EXPECT_EQ(refusal([&] { dms_fused_prefill(prompt.call, *rows); }),
              std::string("out overlaps ") + name);
  }
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(out.data()), 4 * values);
  prompt.call.evicted = bytes.first(prompt.evicted.size());
  EXPECT_EQ(refusal([&] { dms_fused_prefill(prompt.call, out); }), "out overlaps evicted");
}

}  // namespace
}  // namespace dms
