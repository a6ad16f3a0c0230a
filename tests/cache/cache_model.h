#pragma once
// A cache under test beside a plain list of tokens that remembers everything: what each query sees
// is computed from semantics.md's one line and compared with what the cache's pages hold.

#include <algorithm>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/dtype.h"
#include "cache/sequence_cache.h"

namespace dms::cache {

/// Evicts where the logit is positive; everything a test wants to vary.
class TestSource final : public Policy {
 public:
  TestSource(int64_t window, int64_t shift, int64_t kv_heads)
      : window_(window), shift_(shift), kv_heads_(kv_heads) {}
  int64_t window() const override { return window_; }
  int64_t decision_shift() const override { return shift_; }
  PolicyNeeds needs() const override { return {.decision_logits = true}; }
  void decide(const FateRequest& request, std::span<uint8_t> evict) const override {
    for (int64_t head = 0; head < kv_heads_; ++head) {
      for (int64_t i = 0; i < request.count; ++i) {
        evict[static_cast<size_t>(head * request.count + i)] =
            request.logits[static_cast<size_t>(i * kv_heads_ + head)] > 0 ? 1 : 0;
      }
    }
  }

 private:
  int64_t window_;
  int64_t shift_;
  int64_t kv_heads_;
};

struct CacheCase {
  int64_t layers = 2;
  int64_t kv_heads = 2;
  int64_t window = 8;
  int64_t shift = 0;
  int64_t sliding_window = 0;
  double evict_share = 0.5;
  kernels::KvFormat window_format = kernels::KvFormat::bf16;
  kernels::PageFormat survivor_format = kernels::KvFormat::bf16;
  int64_t exact_layers = 0;

  bool rounds_survivors() const {
    return window_format == kernels::KvFormat::f32 && survivor_format == kernels::KvFormat::bf16;
  }

  std::string text() const {
    return "window " + std::to_string(window) + " shift " + std::to_string(shift) + " sliding " +
           std::to_string(sliding_window) + " evict " + std::to_string(evict_share) + " formats " +
           std::string(kv_format_name(window_format)) + " " + page_format_name(survivor_format);
  }
  CacheShape shape() const {
    return {.layers = layers,
            .kv_heads = kv_heads,
            .head_dim = 3,
            .window_format = window_format,
            .survivor_format = survivor_format,
            .exact_layers = exact_layers,
            .sliding_window = std::vector<int64_t>(static_cast<size_t>(layers), sliding_window)};
  }
};

inline void PrintTo(const CacheCase& c, std::ostream* os) { *os << c.text(); }

/// A token's content: the key it has and the logits it produces.
struct TestToken {
  float tag = 0;              // 0..256; exact in bf16 unless survivors are rounded
  std::vector<float> logits;  // [layers, kv_heads]
};

class CacheModel {
 public:
  CacheModel(const CacheCase& c, std::shared_ptr<CachePools> pools, uint64_t seed)
      : case_(c),
        random_(seed),
        cache_(std::make_unique<SequenceCache>(
            c.shape(), pools, std::make_shared<TestSource>(c.window, c.shift, c.kv_heads))) {}

  SequenceCache& cache() { return *cache_; }
  int64_t tokens() const { return std::ssize(tokens_); }
  /// The shortest length that truncation is promised to reach without recomputation.
  int64_t rollback_floor() const { return rollback_floor_; }

  std::vector<TestToken> make_tokens(int64_t count) {
    std::vector<TestToken> made(static_cast<size_t>(count));
    std::uniform_real_distribution<double> uniform;
    for (TestToken& token : made) {
      token.tag = case_.rounds_survivors() ? static_cast<float>(random_() % 65536) / 256.0f
                                           : static_cast<float>(random_() % 256);
      for (int64_t i = 0; i < case_.layers * case_.kv_heads; ++i) {
        token.logits.push_back(uniform(random_) < case_.evict_share ? 1.0f : -1.0f);
      }
    }
    return made;
  }

  using Part = std::pair<CacheModel*, std::vector<TestToken>>;

  /// Appends and checks what every query of the chunk sees in every layer and head.
  void append(const std::vector<TestToken>& chunk) {
    append_together(std::vector<Part>{{this, chunk}}, true);
  }

  /// One pass over several sequences, each with its chunk.
  static void append_together(const std::vector<Part>& parts, bool checks_queries) {
    for (const auto& [model, chunk] : parts) {
      model->tokens_.insert(model->tokens_.end(), chunk.begin(), chunk.end());
    }
    for (int64_t layer = 0; layer < parts.front().first->case_.layers; ++layer) {
      for (const auto& [model, chunk] : parts) model->append_layer(layer, std::ssize(chunk));
      for (const auto& [model, chunk] : parts) {
        if (checks_queries) model->check_layer(layer, std::ssize(chunk));
        model->cache_->finish_layer(layer);
      }
    }
    for (const auto& [model, chunk] : parts) model->commit(std::ssize(chunk));
  }

  void truncate(int64_t count) {
    if (cache_->can_truncate(count)) {
      cache_->truncate(count);
      tokens_.resize(static_cast<size_t>(count));
    } else {
      const std::vector<TestToken> kept(tokens_.begin(), tokens_.begin() + count);
      cache_->restart(count);
      tokens_.clear();
      rollback_floor_ = 0;
      if (count > 0) append(kept);
    }
  }

  CacheModel fork(uint64_t seed) {
    CacheModel copy(*this, seed);
    return copy;
  }

 private:
  CacheModel(const CacheModel& other, uint64_t seed)
      : case_(other.case_),
        random_(seed),
        cache_(other.cache_->fork()),
        tokens_(other.tokens_),
        rollback_floor_(other.rollback_floor_) {}

  void append_layer(int64_t layer, int64_t count) {
    const int64_t before = tokens() - count;
    const int64_t heads = case_.kv_heads;
    std::vector<float> keys;
    std::vector<float> values;
    std::vector<float> logits;
    for (int64_t i = 0; i < count; ++i) {
      const TestToken& token = tokens_[static_cast<size_t>(before + i)];
      for (int64_t head = 0; head < heads; ++head) {
        keys.insert(keys.end(),
                    {token.tag, static_cast<float>((before + i) % 256), static_cast<float>(head)});
        values.insert(values.end(), {static_cast<float>((before + i) / 256), token.tag, 1.0f});
        logits.push_back(token.logits[static_cast<size_t>(layer * heads + head)]);
      }
    }
    cache_->append({.layer = layer,
                    .count = count,
                    .keys = keys,
                    .values = values,
                    .token_stride = heads * 3,
                    .logits = logits});
  }

  bool is_visible(int64_t layer, int64_t head, int64_t query, int64_t key) const {
    if (key > query) return false;
    if (case_.sliding_window > 0 && query - key >= case_.sliding_window) return false;
    return query - key <= case_.window || !is_evicted(layer, head, key);
  }

  bool is_evicted(int64_t layer, int64_t head, int64_t key) const {
    const auto decider = static_cast<size_t>(key + case_.shift);
    return decider < tokens_.size() &&
           tokens_[decider].logits[static_cast<size_t>(layer * case_.kv_heads + head)] > 0;
  }

  void check_layer(int64_t layer, int64_t count) const {
    for (int64_t first = tokens() - count; first < tokens();) {
      const int64_t next = std::min((first / 32 + 1) * 32, tokens());
      for (int64_t head = 0; head < case_.kv_heads; ++head) check(layer, head, first, next - first);
      first = next;
    }
  }

  void commit(int64_t count) {
    cache_->commit(count);
    rollback_floor_ = std::max(rollback_floor_, tokens() - kRollbackTokens);
    check_usage();
  }

  /// A key's tag as far as the rule fixes it: beyond the window it may have been rounded.
  float fixed_part(int64_t layer, int64_t query, int64_t key, float tag) const {
    const bool rounds = case_.rounds_survivors() && layer >= case_.exact_layers &&
                        layer < case_.layers - case_.exact_layers;
    const bool is_exact = !rounds || query - key <= case_.window;
    return is_exact ? tag : to_float(to_bf16(tag));
  }

  /// (position, tag) of the tokens the pages show to `query`, which is number `index` of the tile.
  std::multiset<std::pair<int64_t, float>> shown(const TilePages& tile,
                                                 int64_t layer,
                                                 int64_t index,
                                                 int64_t query) const {
    std::multiset<std::pair<int64_t, float>> seen;
    std::vector<float> key(3);
    std::vector<float> value(3);
    for (int64_t p = 0; p < std::ssize(tile.pages); ++p) {
      const kernels::PageRef& page = tile.pages[static_cast<size_t>(p)];
      const auto run = std::ranges::find_if(tile.runs, [p](const PageRun& r) { return p < r.end; });
      const kernels::KvPageLayout layout = run->layout;
      const uint32_t mask = page.masks == nullptr ? ~0u : page.masks[index];
      for (int64_t slot = 0; slot < 32; ++slot) {
        if ((mask >> slot & 1) == 0) continue;
        kernels::load_token(
            layout, {page.data, static_cast<size_t>(layout.bytes())}, slot, key, value);
        const int64_t position =
            static_cast<int64_t>(value[0]) * 256 + static_cast<int64_t>(key[1]);
        seen.insert({position, fixed_part(layer, query, position, key[0])});
      }
    }
    return seen;
  }

  void check(int64_t layer, int64_t head, int64_t first, int64_t positions) const {
    TilePages tile;
    cache_->gather(layer, head, first, positions, tile);
    for (int64_t i = 0; i < positions; ++i) {
      std::multiset<std::pair<int64_t, float>> expected;
      for (int64_t key = 0; key <= first + i; ++key) {
        if (is_visible(layer, head, first + i, key)) {
          const float tag = tokens_[static_cast<size_t>(key)].tag;
          expected.insert({key, fixed_part(layer, first + i, key, tag)});
        }
      }
      ASSERT_EQ(shown(tile, layer, i, first + i), expected)
          << case_.text() << " layer " << layer << " head " << head << " query " << first + i;
    }
  }

  void check_usage() const {
    int64_t expected = 0;
    for (int64_t layer = 0; layer < case_.layers; ++layer) {
      for (int64_t head = 0; head < case_.kv_heads; ++head) {
        for (int64_t key = 0; key < tokens(); ++key) {
          expected += is_visible(layer, head, tokens() - 1, key) ? 1 : 0;
        }
      }
    }
    const CacheUsage usage = cache_->usage();
    EXPECT_EQ(usage.held_tokens, expected) << case_.text() << " tokens " << tokens();
    EXPECT_EQ(usage.dense_tokens, tokens() * case_.layers * case_.kv_heads);
  }

  CacheCase case_;
  std::mt19937_64 random_;
  std::unique_ptr<SequenceCache> cache_;
  std::vector<TestToken> tokens_;
  int64_t rollback_floor_ = 0;
};

}  // namespace dms::cache
