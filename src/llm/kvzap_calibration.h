#pragma once
// Fits KVzap's scores, linear or with a hidden layer, to what the replay pass says of a text, and
// says what the fit makes of text that it has not seen.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "cpu/replay.h"
#include "llm/held_out_scores.h"
#include "llm/mlp_regression.h"
#include "llm/ridge.h"

namespace dms::llm {

/// What is read by itself: neighbouring tokens of a text, after those that begin every text.
struct TextSegment {
  enum class Use {
    fit,
    stop,     // says when the fit of a hidden layer ends; linear scores are fitted to it
    hold_out  // judges the fit, and chooses the threshold
  };
  std::vector<int32_t> ids;
  Use use = Use::fit;
};

/// Cuts a text into segments of 3/5 to 5/5 of `longest` tokens, drawn by a fixed seed, the last one
/// being what is left if that is long enough. Every eighth segment is held out, from the fourth on,
/// and every eighth says when to stop, from the second on.
std::vector<TextSegment> cut_text(std::span<const int32_t> ids,
                                  std::span<const int32_t> beginning,
                                  int64_t longest);

struct KvzapSettings {
  int64_t sinks = 0;
  int64_t hidden = 0;  // units of the hidden layer; 0: the scores are linear
  uint64_t seed = 0;   // of a hidden layer's fit
};

class KvzapCalibration {
 public:
  /// `progress`: called with the number of tokens read since the last call.
  KvzapCalibration(cpu::CpuModel model,
                   const ModelSpec& spec,
                   cpu::ReplayPrompt prompt,
                   const KvzapSettings& settings,
                   std::function<void(int64_t tokens)> progress);

  KvzapCalibration(const KvzapCalibration&) = delete;

  /// The longest segment whose repetition fits into the model's context.
  int64_t longest_segment() const;

  /// What fit() will read; of each kind there is some.
  void begin(std::vector<TextSegment> segments);
  /// After begin(): tokens that fit() will read in all, those of a hidden layer's fit a second time
  /// for each layer, for its progress.
  int64_t tokens_to_read() const;
  /// One fit for each layer. Throws RunError at the memory limit.
  std::vector<Mlp> fit();

  // After fit(), of held-out text but for the sinks: the scores that were wanted, those that the
  // adapter will have, and those of linear ones fitted to the same text.
  const HeldOutScores& targets() const { return targets_; }
  const HeldOutScores& predictions() const { return predictions_; }
  const HeldOutScores& linear_predictions() const {
    return settings_.hidden > 0 ? linear_predictions_ : predictions_;
  }

  int64_t fitted_tokens() const { return fitted_tokens_; }
  int64_t held_out_tokens() const { return held_out_tokens_; }

 private:
  /// What is collected of a layer. The second three are a hidden layer's.
  struct Layer {
    Ridge sums;  // of what is fitted
    std::optional<Ridge> stopping_sums;
    RegressionRows fitted;
    RegressionRows stopping;
  };

  Layer empty_layer() const;
  int64_t rows_a_kept_one() const;
  int64_t layers_at_a_time() const;
  void collect(cpu::ReplayLayers layers);
  void add_segment(const TextSegment& segment,
                   int64_t layer,
                   std::span<const float> scores,
                   Layer& into);
  Mlp fit_layer(Layer& layer);
  void predict(std::span<const Mlp> fits);

  cpu::CpuModel model_;
  ModelSpec spec_;
  cpu::Replay replay_;
  KvzapSettings settings_;
  std::function<void(int64_t)> progress_;
  std::vector<TextSegment> segments_;
  std::vector<Layer> collected_;  // of the layers that are being fitted
  std::vector<Mlp> linear_fits_;  // beside those of a hidden layer
  HeldOutScores targets_;
  HeldOutScores predictions_;
  HeldOutScores linear_predictions_;
  int64_t fitted_tokens_ = 0;
  int64_t stopping_tokens_ = 0;  // among them
  int64_t held_out_tokens_ = 0;
};

}  // namespace dms::llm
