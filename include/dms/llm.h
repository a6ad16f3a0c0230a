#pragma once
// The public face of libdms: open a model, talk to it through a compact KV cache, count what it
// costs. Several LLMs may live side by side.
//
// Threads: LLM::submit(), cancel(), post(), wait(), stop_waiting() and stats() may be called by
// any, encode(), decode(), tokenizer() and info() too, and what says so; everything else by one
// thread at a time, the engine thread of the LLM it belongs to.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "dms/cache.h"
#include "dms/error.h"
#include "dms/model_info.h"
#include "dms/request.h"
#include "dms/sampling.h"
#include "dms/tokenizer.h"

namespace dms {

struct KvzapOptions;
struct KvzapResult;
struct QuantizeOptions;
struct QuantizeResult;

/// Number types: "f32" or "bf16".
struct ModelOptions {
  std::string dtype = "bf16";  // activations' type in products, and the window's
  std::string weights = "";    // of linear layers: f32, bf16, int8 or int4; empty: dtype
  // What computes: cpu, or cuda where the program was built with it, which has dtype bf16, weights
  // in bf16, fp8 or int4, and of CacheOptions what docs/cuda.md says.
  std::string device = "cpu";
  int64_t threads = 0;            // 0: all cores this process may use
  int64_t chunk_tokens = 256;     // prefill is computed in chunks of this many tokens
  int64_t max_step_tokens = 512;  // prompt tokens of one pass together, at least chunk_tokens
  int64_t max_sequences = 64;     // computed side by side; other requests wait
  // Hard limit on the pages (keys and values, without tables) of all sequences together; 0: none.
  int64_t kv_memory_bytes = 0;
  // Requests without a session start from what earlier ones with the same beginning computed, while
  // it fits into kv_memory_bytes, which must be set.
  bool prefix_cache = false;
  // Where memory runs out, requests without a session wait with their cache written here, up to so
  // many bytes; beyond it, it is computed again. In memory, or in files where a folder is named.
  int64_t swap_bytes = 0;
  std::filesystem::path swap_folder{};
  // The folder of an eviction adapter, trained or calibrated, applied to a plain model.
  std::filesystem::path adapter{};
  // The folder of a smaller model with the same tokens, which guesses ahead of answers that want it
  // (SamplingParams::speculate). Its caches take their share of kv_memory_bytes.
  std::filesystem::path draft{};
  MetadataScope metadata_scope = MetadataScope::folder_only;
};

/// Called with each new piece of text (whole characters). Return false to stop early.
using TextSink = std::function<bool(std::string_view piece)>;
/// Called while a prompt, or what was lost before it, is computed: tokens done, tokens in all.
using Progress = std::function<void(int64_t done, int64_t total)>;

/// What an LLM is at, as of its last step, and what it has done so far. Bytes are those of pages.
struct EngineStats {
  int64_t running = 0;    // sequences in memory, one for each answer
  int64_t waiting = 0;    // requests that have not begun, and answers that were preempted
  int64_t preempted = 0;  // of waiting
  int64_t swapped_bytes = 0;
  int64_t kv_limit_bytes = 0;  // 0: none
  int64_t kv_used_bytes = 0;   // of sequences, sessions and cached prefixes
  int64_t kv_peak_bytes = 0;
  // Of running requests alone, without prefixes that give way: what load there is. Pages that
  // several of them share count for each.
  int64_t kv_running_bytes = 0;
  int64_t dense_tokens = 0;  // of running requests: entries of a full cache,
  int64_t held_tokens = 0;   // and those that are held; see KvStats
  int64_t cached_prefixes = 0;
  // Since the LLM was made.
  int64_t prompt_tokens = 0;  // of prompts whose computation ended
  int64_t cached_tokens = 0;  // of them, taken from cached prefixes
  int64_t generated_tokens = 0;
  int64_t drafted_tokens = 0;   // guessed ahead of answers
  int64_t accepted_tokens = 0;  // of them, those that were right
  int64_t preemptions = 0;
  int64_t swaps = 0;               // preemptions that wrote the cache away
  int64_t dense_tokens_total = 0;  // of answers that ended
  int64_t held_tokens_total = 0;
  std::map<std::string, int64_t> finished{};  // answers by finish_reason
};

/// One conversation over one cache. Outlives neither its LLM nor a move of it.
class Session {
 public:
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();

  int64_t tokens() const;
  /// Those it holds, valid until the next call.
  std::span<const int32_t> ids() const;
  /// The most it can hold.
  int64_t max_tokens() const;

  /// Appends tokens (any number: prefill, or one: decode) and returns the logits after the last
  /// one, float32 [vocab], valid until the next call. Throws InputError on an id out of range, more
  /// tokens than the model's context or a session that is at work already (nothing is appended);
  /// RunError at the memory limit (the tokens computed so far stay, tokens() tells how many).
  std::span<const float> append(std::span<const int32_t> ids, const Progress& progress = {});

  /// Appends tokens and hands the logits after each to `sink` (row: [vocab]).
  void append_scored(std::span<const int32_t> ids,
                     const std::function<void(int64_t token, std::span<const float> row)>& sink,
                     const Progress& progress = {});

  /// Forgets all but the first `tokens` tokens. Up to the rollback slack (32) at once without
  /// recomputation; beyond it what is missing is recomputed with the decisions taken before. Where
  /// that meets the memory limit it throws RunError, or what `progress` throws; the tokens are
  /// forgotten all the same, and the next call goes on with what is missing.
  void truncate(int64_t tokens, const Progress& progress = {});

  /// Where to truncate() before `ids` are given in place of what it holds: after the tokens that
  /// both begin with, one of `ids` left to compute. Under a policy that takes a prompt as a whole
  /// (`snapkv`, `adms`), where that is within a prompt, before it: the rest alone would be ranked
  /// as another prompt, and what came before it not at all.
  int64_t reusable_tokens(std::span<const int32_t> ids) const;

  /// Writes tokens, compact cache and options to a file, whole or not at all, for
  /// LLM::load_session(). Throws InputError where the file cannot be made, RunError on a full disk.
  void save(const std::filesystem::path& file);

  /// An independent continuation that shares this one's memory until either writes.
  Session fork() const;

  /// Appends the prompt and samples a continuation. The continuation's last token is part of
  /// the result, not yet of the cache. At the memory limit the result holds what there is so far,
  /// and why in `error`. Throws InputError as append(), and what `on_text` or `progress` throw.
  Generation generate(std::span<const int32_t> prompt,
                      const SamplingParams& params,
                      const TextSink& on_text = {},
                      const Progress& progress = {});

  /// As generate() to its sink while LLM::step() runs, and as LLM::submit() for the rest. Cache
  /// options are the session's, and there is one answer. Until it has ended the session can neither
  /// append nor truncate.
  RequestId submit(Request request);

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
  void append_rows(std::span<const int32_t> ids,
                   bool all_rows,
                   const std::function<void(int64_t token, std::span<const float> row)>& sink,
                   const Progress& progress);
  std::unique_ptr<State> state_;
};

/// A model whose weights have not been read: its shape, its tokenizer, and whether options and
/// prompts fit it. What is wrong is found here before it costs seconds and gigabytes. Const
/// functions may be called by any thread.
class ModelSource {
 public:
  /// Opens a Hugging Face folder or a GGUF file. Throws InputError when it, its weights' headers or
  /// an option are bad.
  explicit ModelSource(const std::filesystem::path& folder, const ModelOptions& options = {});
  /// The shape of `config_file` with random weights and no tokenizer.
  static ModelSource with_random_weights(const std::filesystem::path& config_file,
                                         uint64_t seed,
                                         const ModelOptions& options = {});
  ModelSource(ModelSource&&) noexcept;
  ~ModelSource();

  const ModelInfo& info() const;
  bool has_tokenizer() const;
  /// Throws InputError when the model has no tokenizer; so do the functions below.
  const Tokenizer& tokenizer() const;
  /// As Tokenizer's.
  std::vector<int32_t> encode(std::string_view text,
                              bool add_special_tokens = true,
                              int64_t max_tokens = std::numeric_limits<int32_t>::max()) const;

  /// Throws InputError for whatever LLM::new_session() would.
  CachePlan check(const CacheOptions& options) const;
  /// Throws InputError for whatever generate() would, and for stops that can never be met.
  void check(const SamplingParams& params) const;
  /// Throws InputError on an empty prompt, an id out of range or more than `max_tokens` tokens.
  void check_prompt(std::span<const int32_t> ids, int64_t max_tokens) const;

 private:
  friend class LLM;
  friend QuantizeResult quantize_model(const std::filesystem::path& model,
                                       const std::filesystem::path& out,
                                       const QuantizeOptions& options,
                                       const Progress& progress);
  friend KvzapResult calibrate_kvzap(const std::filesystem::path& model,
                                     const std::filesystem::path& out,
                                     const KvzapOptions& options,
                                     const Progress& progress);
  struct State;
  explicit ModelSource(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// A model in memory. Throws InputError when a folder or option is bad.
class LLM {
 public:
  /// Reads the weights.
  explicit LLM(ModelSource source);
  /// Opens a Hugging Face folder or a GGUF file.
  explicit LLM(const std::filesystem::path& folder, const ModelOptions& options = {});
  /// The shape of `config_file` with random weights and no tokenizer.
  static LLM with_random_weights(const std::filesystem::path& config_file,
                                 uint64_t seed,
                                 const ModelOptions& options = {});
  LLM(LLM&&) noexcept;
  ~LLM();

  const ModelInfo& info() const;

  bool has_tokenizer() const;
  /// Throws InputError when the model has no tokenizer; so do the functions below.
  const Tokenizer& tokenizer() const;
  /// As Tokenizer's.
  std::vector<int32_t> encode(std::string_view text,
                              bool add_special_tokens = true,
                              int64_t max_tokens = std::numeric_limits<int32_t>::max()) const;
  std::string decode(std::span<const int32_t> ids, bool skip_special_tokens = true) const;

  /// As ModelSource's; any thread may call it.
  CachePlan check(const CacheOptions& options) const;

  /// For Structure::compiled: a form of this model's answers. It may take a while, unless the same
  /// was compiled of late. Throws InputError where the form is malformed or too much, or promises
  /// what an answer cannot be held to, and where has_structures() is false; RunError where others'
  /// forms take all places, or where nobody wants it any more: `given_up`. Any thread may call it.
  std::shared_ptr<const CompiledStructure> compile(const Structure& structure,
                                                   const std::stop_token& given_up = {}) const;
  /// The same at once where it was compiled of late, else null. Any thread may call it.
  std::shared_ptr<const CompiledStructure> find_compiled(const Structure& structure) const;

  /// Takes a request in; its sink is told what becomes of it while step() runs. Throws InputError
  /// on a bad prompt, sampling parameter or cache option.
  RequestId submit(Request request);
  /// Ends a request before the next pass; its last event says "cancelled". One that has ended is
  /// left alone.
  void cancel(RequestId id);
  /// Computes one pass for all requests. False: none is left.
  bool step();
  /// Blocks until a request or a cancellation has come, or stop_waiting() was called.
  void wait();
  /// Ends one wait(): a present one, or else the next.
  void stop_waiting();
  EngineStats stats() const;

  /// Has `call` called once on the engine's thread, by the next step(), with no pass under way.
  /// What it throws comes out of step(). Any thread.
  void post(std::function<void()> call);

  /// Computes a prompt and keeps it.
  /// Throws InputError on a bad prompt or option, RunError at the memory limit.
  Document make_document(std::span<const int32_t> prompt,
                         const CacheOptions& cache = {},
                         const Progress& progress = {});
  /// Looks at a document's or session's file, but not at the cache in it. Throws InputError where
  /// it is none, is damaged or of another model, or names a file of decisions. Any thread.
  DocumentFile open_document(const std::filesystem::path& file) const;
  /// Checks the cache in it, for load_document(). Throws InputError where it is damaged. Any
  /// thread.
  void check_document(const DocumentFile& file) const;
  /// The document as it was saved; its memory is the file's, mapped, where nobody but this user may
  /// write the file. Once for each open_document(). Throws InputError where the cache in it is
  /// damaged, RunError at the memory limit.
  Document load_document(const DocumentFile& file);

  /// Throws InputError on a bad option; RunError when there is no memory to preallocate.
  Session new_session(const CacheOptions& cache = {});
  /// One that has read the document, whose memory it shares until it writes.
  Session new_session(const Document& document);

  /// A session that Session::save() wrote, to go on as if it had never been interrupted. Throws
  /// InputError where the file is damaged or of another model, RunError at the memory limit.
  Session load_session(const std::filesystem::path& file);

  /// Continues several prompts together: one pass over the weights serves all of them.
  /// `sessions` and `prompts` have the same length, no session stands there twice. Where one of
  /// them meets the memory limit its result says so, and the others go on.
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

/// Reads a GGUF file's metadata, or a folder's config.json, DMS metadata, tokenizer and the names
/// of its tensors, or a config.json alone; and the settings of an adapter where one is named. Loads
/// no weights.
ModelInfo inspect_model(const std::filesystem::path& path,
                        const std::filesystem::path& adapter = {},
                        MetadataScope scope = MetadataScope::folder_only);

}  // namespace dms
