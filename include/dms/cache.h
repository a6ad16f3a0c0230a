#pragma once
// How a sequence's KV cache is kept, and what it costs.

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dms {

/// How one sequence's cache is kept (semantics.md sections 1 and 3).
struct CacheOptions {
  // Empty: "dms" where the model has trained eviction, "kvzap" where an adapter has its scores,
  // else "none".
  std::string policy = "";
  std::map<std::string, std::string> policy_args{};
  std::filesystem::path decisions_file{};  // policy "forced": uint8 [layers, kv_heads, tokens] .npy
  std::optional<int64_t> window_tokens{};  // empty: the model's, else 256
  std::string kv_dtype = "";               // survivors' storage; empty: the model's dtype
  int64_t kv_exact_layers = 0;             // first and last layers whose survivors have that dtype
  int64_t preallocate_tokens = 0;          // take the pages this many tokens will need at once

  bool operator==(const CacheOptions&) const = default;
};

/// What CacheOptions::policy can be.
std::span<const std::string_view> policy_names();

/// What CacheOptions come to with a model.
struct CachePlan {
  int64_t max_tokens = 0;     // the longest sequence
  int64_t window_tokens = 0;  // before the current one, kept exactly
};

/// Memory of one or more sequences. Token counts are entries summed over layers and KV heads.
struct KvStats {
  int64_t dense_tokens = 0;     // tokens x layers x kv_heads
  int64_t held_tokens = 0;      // survivors + window (rollback slack not counted)
  int64_t dense_bytes = 0;      // keys and values of dense_tokens in the model's dtype
  int64_t allocated_bytes = 0;  // pages, window, slack and every table, as taken from the system
  int64_t peak_bytes = 0;       // highest so far, pages of all sequences open with these included
  double cr = 1.0;              // dense_tokens / held_tokens
  double cr_bytes = 1.0;        // dense_bytes / allocated_bytes
  std::vector<std::vector<int64_t>> held_per_head;  // [layers][kv_heads]
};

/// What one sequence's cache holds of its tokens, for those who watch it.
struct MemoryReport {
  std::vector<int32_t> ids{};         // the tokens that were put into it
  std::vector<int32_t> held_heads{};  // of each: in how many KV heads of all layers it is held
  int64_t held_bytes = 0;             // of the pages that hold them, whole
  KvStats kv{};
};

}  // namespace dms
