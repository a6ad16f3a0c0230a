#pragma once
// Fits KVzap's linear scores to what the replay pass says of a text, and chooses their threshold.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "cpu/replay.h"
#include "llm/held_out_scores.h"
#include "llm/ridge.h"

namespace dms::llm {

/// What is read by itself: neighbouring tokens of a text, after those that begin every text.
struct TextSegment {
  std::vector<int32_t> ids;
  bool is_held_out = false;  // judges the fit, and chooses the threshold
};

/// Cuts a text into segments of 3/5 to 5/5 of `longest` tokens, drawn by a fixed seed, the last one
/// being what is left if that is long enough. Every eighth segment is held out, from the fourth on.
std::vector<TextSegment> cut_text(std::span<const int32_t> ids,
                                  std::span<const int32_t> beginning,
                                  int64_t longest);

class KvzapCalibration {
 public:
  /// `progress`: called with the number of tokens read since the last call.
  KvzapCalibration(cpu::CpuModel model,
                   const ModelSpec& spec,
                   cpu::ReplayPrompt prompt,
                   int64_t sinks,
                   std::function<void(int64_t tokens)> progress);

  KvzapCalibration(const KvzapCalibration&) = delete;

  /// Tokens that fit() will read in all, for its progress.
  int64_t tokens_to_read(std::span<const TextSegment> segments) const;
  /// The longest segment whose repetition fits into the model's context.
  int64_t longest_segment() const;

  /// One fit for each layer. Throws RunError at the memory limit.
  std::vector<LinearFit> fit(std::span<const TextSegment> segments);

  /// After fit(), by the scores that the adapter will have: [layers * kv_heads].
  std::vector<double> held_out_r2() const;
  /// The score below which `ratio` of held-out text's entries lie.
  float threshold(double ratio) const;
  double share_kept(float threshold) const;

  int64_t fitted_tokens() const { return fitted_tokens_; }
  int64_t held_out_tokens() const { return held_out_tokens_; }

 private:
  int64_t layers_at_a_time() const;
  void collect(std::span<const TextSegment> segments, cpu::ReplayLayers layers);
  void add_segment(const TextSegment& segment, int64_t layer, std::span<const float> scores);
  void predict(std::span<const TextSegment> segments, std::span<const LinearFit> fits);

  cpu::CpuModel model_;
  ModelSpec spec_;
  cpu::Replay replay_;
  int64_t sinks_;
  std::function<void(int64_t)> progress_;
  std::vector<Ridge> sums_;  // of the layers that are being collected
  HeldOutScores targets_;
  HeldOutScores predictions_;
  int64_t fitted_tokens_ = 0;
  int64_t held_out_tokens_ = 0;
};

}  // namespace dms::llm
