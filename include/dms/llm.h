#pragma once
// The public face of libdms: open a model, talk to it through a compact KV cache, count what it
// costs. Objects of this file are used by one thread at a time; several LLMs may live side by side.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dms/error.h"
#include "dms/sampling.h"

namespace dms {

/// Number types: "f32" or "bf16".
struct ModelOptions {
  std::string dtype = "bf16";  // activations' type in products, and the window's
  std::string weights = "";    // storage of the weights; empty: dtype
  int64_t threads = 0;         // 0: all cores this process may use
  int64_t chunk_tokens = 256;  // prefill is computed in chunks of this many tokens
  std::filesystem::path
      adapter{};  // folder of a trained eviction adapter, applied to a plain model
};

/// How one sequence's cache is kept (semantics.md sections 1 and 3).
struct CacheOptions {
  std::string policy = "";  // empty: "dms" where the model has trained eviction, else "none"
  std::map<std::string, std::string> policy_args{};
  std::filesystem::path decisions_file{};  // policy "forced": uint8 [layers, kv_heads, tokens] .npy
  std::optional<int64_t> window_tokens{};  // empty: the model's, else 256
  std::string kv_dtype = "";               // survivors' storage; empty: the model's dtype
  // Hard limit on the pages (keys and values, without tables) of all open sessions of an LLM
  // together. The first one sets it, 0: none; later ones name the same or, with 0, follow.
  int64_t memory_limit_bytes = 0;
  int64_t preallocate_tokens = 0;  // take the pages this many tokens will need at once
};

/// What `dms inspect` prints.
struct DmsInfo {
  std::string source;  // "adapter" | "neuron"
  int64_t window = 0;
  int64_t decision_shift = 0;
  std::string alpha_per;  // "head" | "layer"
  double alpha_scale = 0;
  double alpha_offset = 0;
  double target_cr = 0;  // 0: not stated
  bool disable_eviction = false;
  std::string origin;  // the file the settings came from
};

struct ModelInfo {
  std::string model_type;
  int64_t parameters = 0;
  int64_t layers = 0;
  int64_t hidden = 0;
  int64_t q_heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t ffn = 0;
  int64_t vocab = 0;
  int64_t context = 0;
  int64_t kv_bytes_per_token = 0;  // dense, in bf16, whatever the cache's dtype
  bool tied_head = false;
  std::vector<int32_t> eos_ids;
  std::optional<int32_t> bos_id;
  std::optional<DmsInfo> dms;
};

/// Memory of one or more sequences. Token counts are entries summed over layers and KV heads.
struct KvStats {
  int64_t dense_tokens = 0;     // tokens x layers x kv_heads
  int64_t held_tokens = 0;      // survivors + window (rollback slack not counted)
  int64_t dense_bytes = 0;      // keys and values of dense_tokens, exact size
  int64_t allocated_bytes = 0;  // pages, window, slack and every table, as taken from the system
  int64_t peak_bytes = 0;       // highest so far, pages of all sessions open with these included
  double cr = 1.0;              // dense_tokens / held_tokens
  double cr_bytes = 1.0;        // dense_bytes / allocated_bytes
  std::vector<std::vector<int64_t>> held_per_head;  // [layers][kv_heads]
};

struct Timings {
  double prefill_s = 0;
  double decode_s = 0;
  double attention_s = 0;  // part of both spent in attention kernels
  int64_t prefill_tokens = 0;
  int64_t decode_tokens = 0;
  double prefill_tok_s() const {
    return prefill_s > 0 ? static_cast<double>(prefill_tokens) / prefill_s : 0;
  }
  double decode_tok_s() const {
    return decode_s > 0 ? static_cast<double>(decode_tokens) / decode_s : 0;
  }
};

struct Generation {
  std::string text;
  std::vector<int32_t> ids;
  std::string finish_reason;  // "stop" | "length"
  int64_t prompt_tokens = 0;
  Timings timings;
  KvStats kv;
};

/// Called with each new piece of text (whole characters). Return false to stop early.
using TextSink = std::function<bool(std::string_view piece)>;
/// Called while a prompt is computed: tokens done, tokens in all.
using Progress = std::function<void(int64_t done, int64_t total)>;

/// One conversation over one cache. Outlives neither its LLM nor a move of it.
class Session {
 public:
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();

  int64_t tokens() const;

  /// Appends tokens (any number: prefill, or one: decode) and returns the logits after the last
  /// one, float32 [vocab], valid until the next call. Throws InputError on an id out of range or
  /// more tokens than the model's context (nothing is appended); RunError at the memory limit (the
  /// tokens computed so far stay, tokens() tells how many).
  std::span<const float> append(std::span<const int32_t> ids, const Progress& progress = {});

  /// Appends tokens and hands the logits after each to `sink` (row: [vocab]).
  void append_scored(std::span<const int32_t> ids,
                     const std::function<void(int64_t token, std::span<const float> row)>& sink,
                     const Progress& progress = {});

  /// Forgets all but the first `tokens` tokens. Up to the rollback slack (32) at once without
  /// recomputation; beyond it what is missing is recomputed with the decisions taken before, which
  /// at the memory limit may throw RunError (the tokens computed so far stay).
  void truncate(int64_t tokens);

  /// An independent continuation that shares this one's memory until either writes.
  Session fork() const;

  /// Appends the prompt and samples a continuation. The continuation's last token is part of
  /// the result, not yet of the cache.
  Generation generate(std::span<const int32_t> prompt,
                      const SamplingParams& params,
                      const TextSink& on_text = {},
                      const Progress& progress = {});

  KvStats kv() const;
  /// Eviction decisions so far, uint8 [layers, kv_heads, tokens]: 1 = token's own fate is eviction,
  /// 0 = kept or not yet decided.
  std::vector<uint8_t> decisions() const;
  /// Time spent by all calls on this session so far.
  const Timings& timings() const;

 private:
  friend class LLM;
  struct State;
  explicit Session(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// A model in memory. Throws InputError when a folder or option is bad.
class LLM {
 public:
  /// Opens a Hugging Face folder.
  explicit LLM(const std::filesystem::path& folder, const ModelOptions& options = {});
  /// The shape of `config_file` with random weights and no tokenizer.
  static LLM with_random_weights(const std::filesystem::path& config_file,
                                 uint64_t seed,
                                 const ModelOptions& options = {});
  LLM(LLM&&) noexcept;
  ~LLM();

  const ModelInfo& info() const;

  bool has_tokenizer() const;
  /// Throws InputError when the folder has no tokenizer.json.
  std::vector<int32_t> encode(std::string_view text, bool add_special_tokens = true) const;
  std::string decode(std::span<const int32_t> ids, bool skip_special_tokens = true) const;

  /// Throws InputError on a bad option, or on a memory limit other than the open sessions';
  /// RunError when there is no memory to preallocate.
  Session new_session(const CacheOptions& cache = {});

  /// Continues several prompts together: one pass over the weights serves all of them.
  /// `sessions` and `prompts` have the same length. Throws RunError at the memory limit; each
  /// session then has the tokens computed so far.
  std::vector<Generation> generate(std::span<Session> sessions,
                                   std::span<const std::vector<int32_t>> prompts,
                                   const SamplingParams& params);

  /// The memory of several of this LLM's sessions together. Pages that forks share count for each,
  /// in peak_bytes once.
  KvStats kv(std::span<const Session> sessions) const;

 private:
  struct State;
  explicit LLM(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Reads a folder's config.json and DMS metadata only, or a config.json alone; and the settings of
/// an adapter where one is named. Loads no weights.
ModelInfo inspect_model(const std::filesystem::path& path,
                        const std::filesystem::path& adapter = {});

}  // namespace dms
