#pragma once
// Eviction policies by name. A policy is one file that implements cache::Policy and one line in
// policies.cpp; semantics.md section 3 lists what each keeps.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cache/policy.h"

namespace dms::policy {

/// The model's trained eviction, as numbers (from ModelSpec::dms).
struct TrainedEviction {
  int64_t window = 512;
  int64_t decision_shift = 1;
  bool per_layer = false;
  bool disable_eviction = false;
  int64_t sinks = 0;       // first tokens, which stay
  double target_cr = 0.0;  // 0: not stated
};

/// An adapter's scores, as numbers (from ModelSpec::kvzap).
struct ScoredEviction {
  double threshold = 0.0;
  int64_t window = 128;
  int64_t sinks = 4;
  double target_cr = 0.0;  // 0: not stated
};

/// How a layer turns keys and queries by their position (RoPE), channel i with channel i + n / 2 of
/// the first n.
struct Rotation {
  std::vector<float> frequencies;  // angle per position, [n / 2]; empty: they are not turned
  float factor = 1.0f;             // of cosines and sines
};

/// Those of a model's layers.
class Rotations {
 public:
  /// Of a layer, in a sequence whose RoPE is fixed for so many tokens; never null.
  using Source = std::function<std::shared_ptr<const Rotation>(int64_t layer, int64_t rope_length)>;

  /// No layer turns anything.
  Rotations() = default;
  /// Where a layer turns, it turns `pairs` pairs of channels.
  Rotations(Source source, int64_t pairs) : source_(std::move(source)), pairs_(pairs) {}

  std::shared_ptr<const Rotation> at(int64_t layer, int64_t rope_length) const {
    return source_ ? source_(layer, rope_length) : std::make_shared<const Rotation>();
  }
  int64_t pairs() const { return pairs_; }

 private:
  Source source_;
  int64_t pairs_ = 0;
};

/// What a token's position adds to q . k of a query head beyond what a token at `origin` adds
/// (ALiBi); empty: nothing.
using PositionBias = std::function<float(int64_t q_head, int64_t position, int64_t origin)>;

/// What a calibration has found of a model's queries before they are turned (from
/// ModelSpec::triattention).
struct QueryStatistics {
  std::shared_ptr<const std::vector<float>> means;  // [layers, q_heads, head_dim]
  std::shared_ptr<const std::vector<float>>
      sizes;  // [layers, q_heads, n / 2], of each pair the mean
};

class TurnTables;

/// What a policy is made from.
struct PolicyRequest {
  int64_t layers = 0;
  int64_t kv_heads = 0;
  std::map<std::string, std::string> args;  // CacheOptions::policy_args
  std::optional<int64_t> window;            // CacheOptions::window_tokens
  std::filesystem::path decisions_file;
  std::optional<TrainedEviction> trained;  // empty: the model has none
  int64_t q_heads = 0;
  int64_t head_dim = 0;
  Rotations rotations{};
  std::shared_ptr<const TurnTables> turns{};  // of `rotations`, the model's; null: its own
  PositionBias position_bias{};
  std::optional<ScoredEviction> scored{};    // likewise
  std::optional<QueryStatistics> queries{};  // likewise
  int64_t context = 0;                       // tokens of the model's; 0: not known
};

/// Typed access to a policy's arguments; finish() rejects those nobody asked for.
class ArgReader {
 public:
  ArgReader(std::string_view policy, const std::map<std::string, std::string>& args);
  bool has(const std::string& key) { return find(key) != nullptr; }
  /// Each throws InputError naming the argument when its value has another form or range.
  int64_t integer(const std::string& key, int64_t fallback, int64_t min, int64_t max);
  int64_t odd_integer(const std::string& key, int64_t fallback, int64_t max);
  /// Any unsigned 64-bit number; 0 where there is none.
  uint64_t seed(const std::string& key);
  double number(const std::string& key, double fallback, double min, double max);
  /// A share of what is ranked: neither nothing nor all of it.
  double share(const std::string& key, double fallback);
  bool boolean(const std::string& key, bool fallback);
  /// Empty where there is none.
  std::string text(const std::string& key);
  /// The index of one of `names`; 0 where there is none.
  size_t choice(const std::string& key, const std::vector<std::string_view>& names);
  /// Throws InputError on an argument that was never read, suggesting those that exist.
  void finish() const;

 private:
  const std::string* find(const std::string& key);
  [[noreturn]] void wrong(const std::string& key,
                          const std::string& got,
                          const std::string& want,
                          const std::string& hint = {}) const;

  std::string policy_;
  const std::map<std::string, std::string>& args_;
  std::set<std::string> known_;
};

inline constexpr int64_t kDefaultWindow = 256;
inline constexpr int64_t kMaxWindow = int64_t{1} << 30;

/// The window asked for, else the model's, else kDefaultWindow. Throws InputError on a negative
/// window.
int64_t resolve_window(const PolicyRequest& request);
/// The argument `window`, else resolve_window(). Throws InputError where both are given and differ.
int64_t window_argument(ArgReader& args, const PolicyRequest& request);

using PolicyPtr = std::shared_ptr<const cache::Policy>;

/// Throws InputError on an unknown name, suggesting the nearest, or on bad arguments: also where
/// they keep all of the model's context (require_eviction()).
PolicyPtr make_policy(std::string_view name, const PolicyRequest& request);
std::span<const std::string_view> policy_names();

/// Throws InputError on a window asked for, for policies that have none.
void refuse_window(std::string_view policy, const PolicyRequest& request);

PolicyPtr make_none(const PolicyRequest& request);
PolicyPtr make_dms(const PolicyRequest& request);
PolicyPtr make_streaming(const PolicyRequest& request);
PolicyPtr make_adms(const PolicyRequest& request);
PolicyPtr make_forced(const PolicyRequest& request);
PolicyPtr make_random(const PolicyRequest& request);
PolicyPtr make_knorm(const PolicyRequest& request);
PolicyPtr make_keydiff(const PolicyRequest& request);
PolicyPtr make_lagkv(const PolicyRequest& request);
PolicyPtr make_snapkv(const PolicyRequest& request);
PolicyPtr make_tova(const PolicyRequest& request);
PolicyPtr make_h2o(const PolicyRequest& request);
PolicyPtr make_expected_attention(const PolicyRequest& request);
PolicyPtr make_compactor(const PolicyRequest& request);
PolicyPtr make_rkv(const PolicyRequest& request);
PolicyPtr make_criticalkv(const PolicyRequest& request);
PolicyPtr make_adaptive(const PolicyRequest& request);
PolicyPtr make_chunked(const PolicyRequest& request);
PolicyPtr make_kvzap(const PolicyRequest& request);
PolicyPtr make_kvzip(const PolicyRequest& request);
PolicyPtr make_kvzip_plus(const PolicyRequest& request);
PolicyPtr make_triattention(const PolicyRequest& request);

}  // namespace dms::policy
