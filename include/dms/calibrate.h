#pragma once
// Fits eviction to a model as it is: minutes on a CPU instead of training.

#include <cstdint>
#include <filesystem>
#include <string>

#include "dms/llm.h"

namespace dms {

struct KvzapOptions {
  std::string text{};           // like what the model will see
  int64_t tokens = 65536;       // of the text, at most
  double ratio = 0.875;         // share of the tokens beyond the window that is to go: CR 8
  int64_t window_tokens = 128;  // of the adapter: exact, whatever the scores
  int64_t sinks = 4;            // first tokens that stay whatever their scores
  int64_t hidden_units = 0;     // of a hidden layer, two for each KV head at least; 0: none
  uint64_t seed = 0;            // of its fit
  std::string dtype = "bf16";   // of the model's arithmetic: "bf16" or "f32"
  int64_t threads = 0;          // 0: all cores this process may use
};

struct KvzapResult {
  int64_t fitted_tokens = 0;
  int64_t held_out_tokens = 0;
  double r2 = 0;         // of the scores of held-out text, mean over layers and KV heads
  double lowest_r2 = 0;  // of the layer and head that is predicted worst
  double linear_r2 = 0;  // as `r2`, of linear scores fitted to the same text
  double lowest_linear_r2 = 0;
  double threshold = 0;
  double kept = 0;  // share of held-out text's tokens that stays when they leave the window
};

/// Writes the adapter `out` for `model`, a Hugging Face folder or a GGUF file: linear scores of
/// KVzap (arXiv 2601.07891) from the attention's inputs, fitted by ridge regression to the logs of
/// what KVzip+'s replay pass says of the text, and one threshold for all heads. One eighth of the
/// text is held out. With `hidden_units`, scores with a hidden layer, which begin as the linear
/// ones and go on by AdamW until another eighth of the text says to stop. `progress`: tokens read,
/// tokens in all. Throws InputError where the model or an option cannot be used, the text is too
/// short, or `out` holds something else; RunError when the disk is full. Nothing is left of a
/// failure.
KvzapResult calibrate_kvzap(const std::filesystem::path& model,
                            const std::filesystem::path& out,
                            const KvzapOptions& options,
                            const Progress& progress = {});

struct TriattentionOptions {
  std::string text{};          // like what the model will see
  int64_t tokens = 32768;      // of the text, at most
  std::string dtype = "bf16";  // of the model's arithmetic: "bf16" or "f32"
  int64_t threads = 0;         // 0: all cores this process may use
};

struct TriattentionResult {
  int64_t tokens = 0;  // of the text, that were read
  // Size of the mean of a head's queries over their mean size, before RoPE, each pair of channels
  // by itself and added up: 1 where all queries are alike.
  double concentration = 0;         // mean over layers and query heads
  double lowest_concentration = 0;  // of the head whose queries are alike least
};

/// Writes the adapter `out` for `model`, as calibrate_kvzap(): what TriAttention (arXiv 2604.04921)
/// wants to know of each query head's queries before RoPE turns them, from one reading of the text
/// in sequences as long as the model's context. Throws as calibrate_kvzap(), and InputError where
/// not all layers turn alike at every length.
TriattentionResult calibrate_triattention(const std::filesystem::path& model,
                                          const std::filesystem::path& out,
                                          const TriattentionOptions& options,
                                          const Progress& progress = {});

}  // namespace dms
