#include "policy/chunk_attention.h"

#include <algorithm>
#include <cmath>

#include "base/parallel.h"

namespace dms::policy {
namespace {

/// Adds the softmax of `scores` to sums, of which there may be fewer.
void add_softmax(std::vector<float>& scores, float share, std::span<float> sums) {
  const float max = *std::ranges::max_element(scores);
  float total = 0.0f;
  for (float& score : scores) {
    score = std::exp(score - max);
    total += score;
  }
  for (size_t i = 0; i < sums.size(); ++i) sums[i] += scores[i] * (share / total);
}

}  // namespace

void ChunkAttention::restart() {
  // Their memory too: sequences are restarted where it is short.
  rows_ = std::vector<float>();
  for (std::vector<float>& head : sums_) head = std::vector<float>();
}

void ChunkAttention::write(ByteWriter& out) const {
  out.list(std::span(rows_));
  for (const std::vector<float>& head : sums_) out.list(std::span(head));
}

void ChunkAttention::read(ByteReader& in) {
  rows_ = in.list<float>();
  in.require(rows_.size() % row_width() == 0 && waiting() < shape_.chunk_size + shape_.spare,
             "tokens of another shape");
  for (std::vector<float>& head : sums_) {
    head = in.list<float>();
    in.require(std::ssize(head) % shape_.chunk_size == 0 && head.size() == sums_.front().size(),
               "sums of something else than chunks");
  }
}

int64_t ChunkAttention::bytes() const {
  size_t floats = rows_.capacity();
  for (const std::vector<float>& head : sums_) floats += head.capacity();
  return static_cast<int64_t>(floats * sizeof(float));
}

int64_t ChunkAttention::most_bytes(int64_t tokens) const {
  constexpr int64_t kGrowth = 2;  // of vectors that grow: so much more than they hold
  const int64_t waiting = std::min(tokens, shape_.chunk_size + shape_.spare);
  const int64_t floats = waiting * static_cast<int64_t>(row_width()) + shape_.kv_heads * tokens;
  return kGrowth * floats * static_cast<int64_t>(sizeof(float));
}

void ChunkAttention::add(const cache::SeenTokens& seen) {
  for (size_t i = 0; i < seen.queries.size(); ++i) {
    if (seen.first + static_cast<int64_t>(i) < shape_.skipped) continue;
    rows_.insert(rows_.end(), seen.queries[i].begin(), seen.queries[i].end());
    rows_.insert(rows_.end(), seen.keys[i].begin(), seen.keys[i].end());
    if (waiting() < shape_.chunk_size + shape_.spare) continue;
    const int64_t first = seen.first + static_cast<int64_t>(i) + 1 - waiting();
    parallel_for(shape_.kv_heads, 1, [&](int64_t head) {
      const std::vector<float> sums = chunk_sums(head, shape_.chunk_size, first);
      std::vector<float>& of_head = sums_[static_cast<size_t>(head)];
      of_head.insert(of_head.end(), sums.begin(), sums.end());
    });
    rows_.erase(rows_.begin(),
                rows_.begin() + shape_.chunk_size * static_cast<int64_t>(row_width()));
  }
}

/// What ALiBi adds to a key at each place of the chunk under way, which begins at `first`; empty:
/// nothing.
std::vector<float> ChunkAttention::places_of_chunk(int64_t q_head, int64_t first) const {
  if (!shape_.position_bias) return {};
  std::vector<float> places;
  for (int64_t i = 0; i < shape_.chunk_size; ++i) {
    places.push_back(shape_.position_bias(q_head, first + i, first));
  }
  return places;
}

/// Writes the products of a waiting token's query with the keys of a chunk, [head_dim, tokens];
/// zeros for what the chunk lacks.
void ChunkAttention::multiply(int64_t token,
                              int64_t q_head,
                              std::span<const float> channels,
                              std::span<float> scores) const {
  const auto width = static_cast<size_t>(shape_.head_dim);
  const size_t tokens = channels.size() / width;
  std::ranges::fill(scores, 0.0f);
  const float* query =
      rows_.data() + static_cast<size_t>(token) * row_width() + static_cast<size_t>(q_head) * width;
  for (size_t c = 0; c < width; ++c) {
    const float* row = channels.data() + c * tokens;
    for (size_t j = 0; j < tokens; ++j) scores[j] += query[c] * row[j];
  }
}

/// Of the first `count` waiting tokens, from position `first` on. What a chunk lacks counts as
/// tokens whose products with all others are zero, as in kvpress.
std::vector<float> ChunkAttention::chunk_sums(int64_t kv_head, int64_t count, int64_t first) const {
  const auto width = static_cast<size_t>(shape_.head_dim);
  const auto tokens = static_cast<size_t>(count);
  const auto key_at = static_cast<size_t>(shape_.kv_heads * shape_.group + kv_head) * width;
  std::vector<float> channels(width * tokens);  // keys, [head_dim, tokens]
  for (size_t i = 0; i < tokens; ++i) {
    const float* key = rows_.data() + i * row_width() + key_at;
    for (size_t c = 0; c < width; ++c) channels[c * tokens + i] = key[c];
  }
  std::vector<float> sums(tokens, 0.0f);
  std::vector<float> scores(static_cast<size_t>(shape_.chunk_size));
  for (int64_t q_head = kv_head * shape_.group; q_head < (kv_head + 1) * shape_.group; ++q_head) {
    const std::vector<float> places = places_of_chunk(q_head, first);
    for (int64_t i = 0; i < shape_.chunk_size; ++i) {
      if (i < count) {
        multiply(i, q_head, channels, scores);
      } else {
        std::ranges::fill(scores, 0.0f);
      }
      for (size_t j = 0; j < places.size(); ++j) {
        scores[j] -= std::abs(places[j] - places[static_cast<size_t>(i)]);
      }
      add_softmax(scores, 1.0f / static_cast<float>(shape_.group), sums);
    }
  }
  return sums;
}

void ChunkAttention::forget_finished() {
  for (std::vector<float>& head : sums_) head = std::vector<float>();
  rows_.shrink_to_fit();
}

std::vector<float> ChunkAttention::sums(int64_t kv_head, int64_t tokens) const {
  std::vector<float> all = sums_[static_cast<size_t>(kv_head)];
  const int64_t count = waiting() - shape_.spare;
  if (count > 0) {
    const std::vector<float> last = chunk_sums(kv_head, count, tokens - waiting());
    all.insert(all.end(), last.begin(), last.end());
  }
  return all;
}

}  // namespace dms::policy
